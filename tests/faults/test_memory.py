"""A worker that is killed for its memory, by Ray or by the system: the cell goes on in smaller parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import cells

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
ROOM_GIB = 3.5
"""What may be used on top of what is used now, before Ray kills."""
LIMIT_GIB = 5
"""Of the control group: more than a whole Ray takes, less than a cell that hoards."""
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
        "attempts": outcome.attempts, "metrics": dict(outcome.metrics), "epochs": epochs}
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
    threshold = f"{(used + ROOM_GIB) / total:.4f}"
    goes_on_in_parts(
        tmp_path,
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        RAY_memory_usage_threshold=threshold,
        RAY_memory_monitor_refresh_ms="100",
    )


def test_a_worker_that_the_system_kills_for_its_memory_goes_on_in_parts(
    tmp_path: Path, control_group: Path
) -> None:
    total, used = memory_gib()
    if total - used < LIMIT_GIB + 1:
        pytest.skip("other programs use too much of the memory here")
    enter = f'echo $$ > {control_group}/cgroup.procs && exec "$@"'
    goes_on_in_parts(
        tmp_path,
        ["sh", "-c", enter, "sh", sys.executable, "-c", DRIVER, str(tmp_path)],
        RAY_memory_monitor_refresh_ms="0",  # Ray itself looks away
    )


@pytest.fixture
def control_group() -> Iterator[Path]:
    """A memory control group with a limit, of version 1 or 2, as a container has one."""
    for root, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"),
    ):  # fmt: skip
        group = Path(root) / f"raymm-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            (group / limit).write_text(str(LIMIT_GIB * 2**30))
            break
        group.rmdir()
    else:
        pytest.skip("no control group can be made here: needs root")
    yield group
    deadline = time.monotonic() + 30
    while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    group.rmdir()


def goes_on_in_parts(tmp_path: Path, command: list[str], **environment: str) -> None:
    """The cell that hoards is killed once, then finished, with the numbers of a calm one."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["status"] == "finished", said
    assert (said["parts"], said["attempts"]) == (8, 2)
    calm = cells.calm(cells.cell(0), tmp_path / "calm", cells.digits())
    assert said["metrics"]["loss/val"] == pytest.approx(calm["loss/val"], abs=1e-4)
    assert said["epochs"] == [1, 2, 3, 4]
