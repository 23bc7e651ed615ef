"""The whole command as a user runs it: killed, gone on with, and its result given to a grid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest

from raymm.sweep.grid import GridSettings
from raymm.sweep.plan import prepare_sweep
from tests.sweep.ledgers import runs

ROOT = Path(__file__).parent.parent.parent.parent
SCRIPT = str(ROOT / "sweeps/temperature_lr.py")
ARGUMENTS = "--models mca --sparsities 0.6 --trials 3 --epochs 2 --name s"


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_search_goes_on_and_feeds_a_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, SCRIPT, *ARGUMENTS.split()]
    environment = {**os.environ, "COLUMNS": "80"}
    said = []
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        for line in first.stdout:
            said.append(line)
            if line.startswith("mca S=0.6 trial 0: val/probe/auprc"):
                first.kill()
    assert first.returncode == -signal.SIGKILL, "".join(said)
    before = trials(tmp_path)
    assert before[0].state.name == "COMPLETE"

    second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stderr == ""
    after = trials(tmp_path)
    assert [trial.state.name for trial in after] == ["COMPLETE"] * 3
    for earlier, later in zip(before, after, strict=False):
        assert later.params == earlier.params
    assert after[0].value == before[0].value

    monkeypatch.chdir(tmp_path)
    cells = runs("sqlite:///mlruns/mlflow.db", "cell")
    keys = [run.data.tags["raymm.cell_key"] for run in cells]
    assert len(set(keys)) == len(keys) == 3
    assert {run.info.status for run in cells} == {"FINISHED"}
    assert {run.data.tags["raymm.trial"] for run in cells} == {"0", "1", "2"}
    best = json.loads(Path("results/s/best.json").read_text())["conditions"][0]
    tested = [run.data.tags["raymm.cell_key"] for run in cells if "probe/auprc" in run.data.metrics]
    assert tested == list(best["cells"].values())
    (value,) = pd.read_csv("results/s/best.csv")["val/probe/auprc"]
    assert value == best["validation"]["val/probe/auprc"] == max(t.value or 0 for t in after)

    grid = prepare_sweep(
        GridSettings(models=("mca",), sparsities=(0.6,), seeds=(0, 1), epochs=2, from_search="s")
    )
    assert [cell.config.train.seed for cell in grid.missing] == [1]
    assert set(grid.finished) == set(tested)


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    address = f"sqlite:///{folder}/results/s/studies.db"
    return optuna.load_study(study_name="s/mca S=0.6", storage=address).trials
