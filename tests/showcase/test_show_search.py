"""A search that has ended, as MLflow's own pages have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from raymm.showcase.show import show_search
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.opening import open_record
from raymm.sweep.plan import claim_places, prepare_sweep
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord
from raymm.sweep.tags import STUDY, TRIAL
from tests.showcase.test_show import settings

GOAL = Objective("val/probe/auprc")


def trials(values: list[float]) -> list[TrialRecord]:
    return [
        TrialRecord(
            Condition("mca", 0.0), number, "complete", {"depth": number + 1}, {GOAL.metric: value}
        )
        for number, value in enumerate(values)
    ]


def test_its_runs_have_names_charts_pages_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = prepare_sweep(settings(tmp_path))
    claim_places(sweep)
    client, console = (
        MlflowClient(str(sweep.settings.tracking_uri)),
        Console(record=True, width=300),
    )
    cell: Cell = sweep.cells[0]
    done = trials([0.5, 0.4])
    best = Best(trial=done[0], cells=(cell,), default=done[0], pareto=(0,), test={})
    with sweep.ledger as ledger:
        open_record(sweep)
        ledger.start(cell, {STUDY: "small/mca S=0", TRIAL: "4"})
        ledger.end(CellResult(cell.config, "clinic", cell.key, "finished", metrics={"a": 1.0}))
        (sweep.folder / "search_history.png").write_bytes(b"a picture")
        (sweep.folder / "report.html").write_text("<p>a page</p>")
        for found in (done, done, trials([0.5, 0.4, 0.7])):  # the second changes nothing
            show_search(sweep, found, [best], [GOAL], console)
        ledger.close_sweep("FINISHED")
        assert ledger.settle(20)
    assert not console.export_text().strip()
    experiment = client.get_experiment_by_name("raymm")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"small", f"{cell.title} trial 4", "mca S=0: trials of small"}
    summary = runs["mca S=0: trials of small"]
    history = client.get_metric_history(summary.info.run_id, f"best/{GOAL.metric}")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.5), (2, 0.7)]
    artifacts = {each.path for each in client.list_artifacts(runs["small"].info.run_id)}
    assert artifacts == {"figures", "report.html"}
    inputs = {each.dataset.name for each in summary.inputs.dataset_inputs}
    assert inputs == {"clinic", "clinic S=0"}
