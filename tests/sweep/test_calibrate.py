"""`--calibrate`: the plan of a sweep of which nothing like it is recorded knows how long it takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweep.ledgers import runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
GRID = "--models mca zorro --sparsities 0.6 0.8 --seeds 0 1 2 --modalities zer mor --epochs 40"


def planned(folder: Path, how: str) -> str:
    script = str(ROOT / "sweeps/sparsity_grid.py")
    command = [sys.executable, script, *GRID.split(), "--name", "long", how]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def test_one_cell_of_each_model_tells_how_long_all_of_them_take(tmp_path: Path) -> None:
    before = planned(tmp_path, "--plan")
    assert "no cell like those of mca, zorro is recorded" in before and "--calibrate" in before
    assert list(tmp_path.iterdir()) == []

    calibrated = planned(tmp_path, "--calibrate")
    assert "calibrating: 2 cell(s) of 2 epochs" in calibrated
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    trained = runs(uri, "cell")
    epochs = [run.data.params["train.epochs"] for run in trained]
    assert (epochs, {run.info.status for run in trained}) == (["2", "2"], {"FINISHED"})
    assert "12 new" in calibrated  # what is planned is not begun
    assert re.search(r"expected about .* by the time like cells have taken", calibrated)
    assert "* estimated" not in calibrated  # memory is measured, too

    again = planned(tmp_path, "--calibrate")
    assert "calibrating" not in again and "by the time like cells have taken" in again
    assert len(runs(uri, "cell")) == 2
