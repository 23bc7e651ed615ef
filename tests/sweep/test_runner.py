"""Running a sweep: what the ledger writes down, and the whole command, interrupted and taken up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from raymm.sweep.grid import GridSettings
from raymm.sweep.ledger import Ledger
from raymm.sweep.opening import open_record
from raymm.sweep.plan import Sweep
from raymm.sweep.progress import ProgressView, Standing
from raymm.sweep.record import Recorder
from raymm.sweep.runner import run_sweep
from tests.sweep.ledgers import points, runs
from tests.sweep.small import dataset

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    settings = GridSettings(models=("mca",), sparsities=(0.0, 0.4), seeds=(0, 1), name="trial")
    ledger = Ledger(f"sqlite:///{tmp_path}/mlflow.db", "small")
    cells = settings.expand(dataset())
    return Sweep(
        name="trial", settings=settings, dataset=dataset(), cells=cells, finished={},
        folder=tmp_path, ledger=ledger,
    )  # fmt: skip


def news(*epochs: int, outcome: dict[str, Any] | None = None) -> dict[str, Any]:
    reports = [{"epoch": float(epoch), "loss/train": 1.0 / epoch} for epoch in epochs]
    return {"started": True, "epochs": reports, "outcome": outcome}


def test_the_ledger_writes_every_cells_end_once_and_the_interrupted_ones_too(sweep: Sweep) -> None:
    work = {cell.key: 1.0 for cell in sweep.cells}
    standing = Standing(sweep.cells, work)
    open_record(sweep)
    recorder = Recorder(sweep, standing, ProgressView(standing, Console(quiet=True)))
    good, bad, open_, unseen = sweep.cells

    done = {"status": "finished", "metrics": {"probe/auprc": 0.5, "loss/train": 0.4}}
    failed = {"status": "failed", "reason": "TrainingError: no", "details": "Traceback ..."}
    recorder.hear(good.key, news())
    recorder.hear(good.key, news(1, 2))
    recorder.hear(good.key, news(outcome=done))
    recorder.hear(good.key, news(1, 2, outcome=failed))  # a restarted trial tells it all again
    recorder.hear(bad.key, news(1, outcome=failed))
    recorder.hear(open_.key, news(1))
    recorder.stop_the_rest()
    assert sweep.ledger.settle(10)

    ended = standing.ended
    assert [ended[cell.key].status for cell in sweep.cells] == [
        "finished", "failed", "stopped", "stopped",
    ]  # fmt: skip
    assert ended[good.key].metrics == done["metrics"]
    assert [epoch["epoch"] for epoch in ended[good.key].curve] == [1, 2]
    assert ended[bad.key].reason == "TrainingError: no"
    assert ended[unseen.key].reason == "interrupted before it was begun"
    log = (sweep.folder / "failures.log").read_text()
    assert log == f"{bad.key} {bad.title}: TrainingError: no\nTraceback ...\n"
    assert statuses(f"sqlite:///{sweep.folder}/mlflow.db") == {
        good.key: "FINISHED", bad.key: "FAILED", open_.key: "KILLED",
    }  # fmt: skip


def test_a_sweep_with_nothing_to_train_starts_no_ray(sweep: Sweep) -> None:
    open_record(sweep)
    for cell in sweep.cells:
        sweep.ledger.start(cell)
    assert sweep.ledger.settle(10)
    finished = {
        cell.key: SimpleNamespace(key=cell.key, status="finished", metrics={})
        for cell in sweep.cells
    }
    whole: Any = {**vars(sweep), "finished": finished}
    results = run_sweep(Sweep(**whole), Console(quiet=True))
    assert sweep.ledger.settle(10)
    assert [result.key for result in results] == [cell.key for cell in sweep.cells]


def statuses(uri: str, kinds: Sequence[str] = ("cell",)) -> dict[str, str]:
    """Status of each cell's run, and of other runs; fails if a cell has two."""
    all_runs = [run for kind in kinds for run in runs(uri, kind)]
    names = [run.data.tags.get("raymm.cell_key", run.info.run_id) for run in all_runs]
    assert len(set(names)) == len(all_runs)
    return {name: run.info.status for name, run in zip(names, all_runs, strict=True)}


def interrupt(driver: int) -> None:
    """Ctrl-C in a terminal: all processes of the group hear of it."""
    os.killpg(driver, signal.SIGINT)


def job_stop(driver: int) -> None:
    """`ray job stop`."""
    os.kill(driver, signal.SIGTERM)


@pytest.mark.ray
@pytest.mark.timeout(400)  # each of up to three commands starts a Ray
@pytest.mark.parametrize(
    "stops", [[interrupt], pytest.param([interrupt, job_stop], marks=pytest.mark.slow)]
)
def test_the_whole_command_is_interrupted_taken_up_and_done(
    stops: Sequence[Callable[[int], None]], tmp_path: Path
) -> None:
    """As a user runs it: stopped after a cell, once or twice; the same command again does the rest."""
    script = str(ROOT / "sweeps/sparsity_grid.py")
    arguments = "--models mca --sparsities 0 0.4 0.8 --seeds 0 --epochs 6 --max-concurrent 1"
    command = [sys.executable, script, *arguments.split(), "--name", "whole"]
    environment = {**os.environ, "COLUMNS": "80"}
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"

    def stopped(stop: Callable[[int], None], left: int) -> None:
        said = []
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as driver:  # fmt: skip
            assert driver.stdout is not None
            for line in driver.stdout:
                said.append(line)
                if line.startswith(f"[1/{left}]"):
                    stop(driver.pid)
        assert driver.returncode == 130, "".join(said)
        goes_on = "Interrupted. The same command goes on: python sweeps/sparsity_grid"
        assert said[-1].startswith(goes_on)
        assert "Stopping: running cells finish their epoch" in "".join(said)
        found = statuses(uri, kinds=("cell", "sweep", "driver"))
        assert "FINISHED" in found.values() and "RUNNING" not in found.values()

    for number, stop in enumerate(stops):
        stopped(stop, left=3 - number)

    last = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stdout + last.stderr
    assert last.stderr == ""
    assert "\x1b" not in last.stdout
    assert f"[1/{3 - len(stops)}]" in last.stdout
    assert set(statuses(uri).values()) == {"FINISHED"}
    for run in runs(uri, "cell"):
        assert [step for step, _ in points(uri, run)] == [1, 2, 3, 4, 5, 6]
    cells = pd.read_csv(tmp_path / "results/whole/cells.csv")
    assert list(cells["status"]) == ["finished"] * 3
    assert cells["probe/auprc"].between(0, 1).all()
    assert "mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db" in last.stdout
