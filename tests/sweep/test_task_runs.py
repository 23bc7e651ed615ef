"""Tasks in MLflow: runs of their own below the cell's, which stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from raymm.sweep.ledger import Ledger
from raymm.sweep.task_runs import TaskRuns
from tests.sweep.ledgers import cell, opened, runs, train


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local store with its artifacts beside it, as a user has it, and one finished cell."""
    folder = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with opened(None) as ledger:
            train(ledger, cell())
        yield f"sqlite:///{folder}/mlruns/mlflow.db"


@pytest.fixture
def tracked(uri: str) -> TaskRuns:
    tracker = TaskRuns(uri, "digits")
    assert tracker.cell_of("key1") == "key1"
    return tracker


def test_a_task_is_a_run_below_its_cell(tracked: TaskRuns, uri: str) -> None:
    run_id = tracked.log_task(
        "key1",
        "retrieval",
        {"a/b": 0.5},
        {"hit_rate": {100: 0.1, 200: 0.2}},
        {"t.csv": "x,y\n1,2\n"},
    )
    run = MlflowClient(uri).get_run(run_id)
    assert run_id in [each.info.run_id for each in runs(uri, "task")]
    (cells,) = runs(uri, "cell")
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"a/b": 0.5, "hit_rate": 0.2}
    assert run.data.tags["raymm.of_cell"] == "key1"
    assert run.data.tags["mlflow.parentRunId"] == cells.info.run_id
    client = MlflowClient(uri)
    history = [(p.step, p.value) for p in client.get_metric_history(run_id, "hit_rate")]
    assert history == [(100, 0.1), (200, 0.2)]
    path = client.download_artifacts(run_id, "t.csv")
    assert Path(path).read_text() == "x,y\n1,2\n"


def test_the_cell_is_what_it_was(tracked: TaskRuns, uri: str) -> None:
    before = repr(Ledger(uri, "digits").finished([cell()]))  # nan is not equal to itself
    tracked.log_task("key1", "linear", {"linear/test_accuracy": 0.9}, {}, {})
    assert repr(Ledger(uri, "digits").finished([cell()])) == before


def test_what_is_recorded_is_known(tracked: TaskRuns, uri: str) -> None:
    assert not tracked.has_task("key1", "similarity")
    tracked.log_task("key1", "similarity", {}, {}, {})
    assert tracked.has_task("key1", "similarity")
    assert not tracked.has_task("key2", "similarity")
    assert not TaskRuns(uri, "other").has_task("key1", "similarity")


def test_a_cell_is_found_by_its_run_or_its_key(tracked: TaskRuns, uri: str) -> None:
    (run,) = runs(uri, "cell")
    for name in (run.info.run_id, "key1"):
        assert TaskRuns(uri, "digits").cell_of(name) == "key1"
    for unknown in ("nothing", "it's", "a/b", ""):
        assert TaskRuns(uri, "digits").cell_of(unknown) is None
