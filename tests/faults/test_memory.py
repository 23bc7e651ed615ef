"""A node about to run out of memory: Ray kills the worker, and the cell goes on in smaller parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import cells

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
ROOM_GIB = 3.5
"""What may be used on top of what is used now, before Ray kills."""
DRIVER = """
import json, sys
from pathlib import Path
from raymm.training.cluster import connected
from tests.faults import cells
from tests.faults.test_workers import outcomes

folder = Path(sys.argv[1])
deeds = {"hoards": {"what": "hoard", "epoch": 2}}
with connected(None, num_cpus=1):
    outcome, epochs = outcomes(folder, deeds, {"hoards": cells.cell(0)}, workers=1)["hoards"]
said = {"status": outcome.status, "reason": outcome.reason, "parts": outcome.micro_batches,
        "metrics": dict(outcome.metrics), "epochs": epochs}
(folder / "said.json").write_text(json.dumps(said))
"""


def memory_gib() -> tuple[float, float]:
    """What the machine has, and what of it is in use."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    sizes = {name.rstrip(":"): int(size) / 2**20 for name, size, *_ in lines}
    return sizes["MemTotal"], sizes["MemTotal"] - sizes["MemAvailable"]


def test_a_worker_that_ray_kills_for_its_memory_goes_on_in_parts(tmp_path: Path) -> None:
    total, used = memory_gib()
    if total - used < 2 * cells.HOARD_GIB:
        pytest.skip("other programs use too much of the memory here")
    environment = {
        **os.environ,
        "RAY_memory_usage_threshold": f"{(used + ROOM_GIB) / total:.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["status"] == "finished", said
    assert said["parts"] == 8
    calm = cells.calm(cells.cell(0), tmp_path / "calm", cells.digits())
    assert said["metrics"]["loss/val"] == pytest.approx(calm["loss/val"], abs=1e-4)
    assert said["epochs"] == [1, 2, 3, 4]
