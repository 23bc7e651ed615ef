"""What chaos proves can be refuted: each proof sees what would make it fail."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos_proof import _no_files, _same_numbers

ROOT = Path(__file__).parent.parent.parent
NAN = math.nan


@pytest.mark.parametrize(
    ("found", "wanted", "holds"),
    [
        ({"x": 0.5}, {"x": 0.5 + 1e-7}, True),
        ({"x": 0.5}, {"x": 0.6}, False),
        ({"x": NAN}, {"x": NAN}, True),
        ({"x": math.inf}, {"x": math.inf}, True),
        ({"x": NAN}, {"x": 0.5}, False),
        ({"x": 0.5}, {"x": NAN}, False),
        ({"x": NAN}, {"x": math.inf}, False),
        ({"x": 0.5, "more": 1.0}, {"x": 0.5}, False),
        ({"x": 0.5}, {"x": 0.5, "more": NAN}, False),
        ({}, {}, False),
    ],
)
def test_numbers_that_differ_are_seen_whatever_follows_them(
    found: dict[str, float], wanted: dict[str, float], holds: bool
) -> None:
    alike = {"y": 1.0}
    for keys in (("a", "b"), ("b", "a")):
        ours = dict(zip(keys, (found, alike), strict=True))
        theirs = dict(zip(keys, (wanted, alike), strict=True))
        proof = _same_numbers(*(({"a": {}}, {"a": {}}) if not found else (ours, theirs)))
        assert proof.holds is holds, proof.seen


@pytest.mark.parametrize(
    "left", ["results/chaos/unsent-1.jsonl", "results/chaos/table.csv.partial", "tmp/raymm-train-1",
             "storage/cell/epoch_00001", "storage/cell/.model.safetensors.partial"],
)  # fmt: skip
def test_a_file_that_is_left_over_is_seen(tmp_path: Path, left: str) -> None:
    cell = tmp_path / "storage" / "cell"
    cell.mkdir(parents=True)
    for name in ("result.json", "model.safetensors", "model.json", "scaling.safetensors"):
        (cell / name).touch()
    assert _no_files(tmp_path).holds
    file = tmp_path / left
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert not _no_files(tmp_path).holds


ORPHAN = """
import os, subprocess, sys
from benchmarks.local_cluster import adopt_orphans, descendants, kill
adopt_orphans()
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
parent = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=2, "
parent += "start_new_session=True).pid, flush=True)"
orphan = int(subprocess.run([sys.executable, "-c", parent, *sleeper], stdout=subprocess.PIPE).stdout)
print(orphan in descendants(os.getpid()))
kill(orphan)
"""


def test_a_process_whose_parent_has_ended_is_still_found() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["True"], done.stderr
