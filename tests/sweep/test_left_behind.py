"""What a driver that was killed while the store was away has left for the next one to record."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from raymm.sweep.cells import CellResult
from tests.sweep.ledgers import (
    CURVE,
    METRICS,
    cell,
    cut_off,
    kill,
    opened,
    points,
    result,
    runs,
    train,
)


def test_what_is_left_behind_on_cells_that_are_not_asked_for_is_recorded_too(uri: str) -> None:
    """A search asks for its cells a trial at a time, and for those that have ended never again."""
    dead = opened(uri)
    dead.claim([cell(1), cell(2)])
    cut_off(dead)
    train(dead, cell(1))
    train(dead, cell(2))
    kill(dead, uri)
    file = dead.unsent_file
    assert file is not None and len(file.read_text().splitlines()) == 6
    with opened(uri) as ledger:
        assert list(ledger.claim([cell(1)]).ended) == ["key1"]
        assert not file.exists()
        assert list(ledger.finished([cell(1), cell(2)])) == ["key1", "key2"]
    for run in runs(uri, "cell"):
        assert points(uri, run) == [(1, 2.0), (2, 1.0)]
        assert points(uri, run, "probe/auprc") == [(0, METRICS["probe/auprc"])]


def test_a_score_on_test_that_was_left_behind_is_recorded(uri: str) -> None:
    """Of a cell that the store has as finished already, by a score on validation."""
    validated = {"val/probe/auprc": 0.5}
    with opened(uri) as first:
        first.start(cell())
        first.log_epochs("key1", CURVE)
        first.end(CellResult(cell().config, "digits", "key1", "finished", metrics=validated))
    dead = opened(uri)
    assert dead.claim([cell()]).mine == [cell()]
    cut_off(dead)
    train(dead, cell())
    kill(dead, uri)
    with opened(uri) as ledger:
        granted = ledger.claim([cell()])
        assert not granted.mine
        assert granted.ended["key1"].metrics["probe/auprc"] == METRICS["probe/auprc"]
    (run,) = runs(uri, "cell")
    assert run.info.status == "FINISHED" and points(uri, run) == [(1, 2.0), (2, 1.0)]


@pytest.mark.parametrize("file_is_there", [True, False])
def test_final_metrics_are_recorded_once_by_a_driver_killed_before_it_said_that_the_cell_ended(
    uri: str, monkeypatch: pytest.MonkeyPatch, file_is_there: bool
) -> None:
    """The next driver sends the rest; or, on another machine, ends the cell with the same metrics
    from its folder.
    """

    def away(*_: object) -> None:
        raise OSError("the store is gone")

    dead = opened(uri)
    dead.claim([cell()])
    with monkeypatch.context() as failing:
        failing.setattr(MlflowClient, "set_terminated", away)
        train(dead, cell())
        assert not dead.flush(2.0)
        kill(dead, uri)
    (run,) = runs(uri, "cell")
    assert run.info.status == "RUNNING" and "probe/auprc" in run.data.metrics
    file = dead.unsent_file
    assert file is not None and '"end"' in file.read_text()
    if not file_is_there:
        file.unlink()
    with opened(uri) as ledger:
        granted = ledger.claim([cell()])
        assert bool(granted.mine) != file_is_there
        if granted.mine:
            train(ledger, cell())
    (run,) = runs(uri, "cell")
    assert run.info.status == "FINISHED" and points(uri, run) == [(1, 2.0), (2, 1.0)]
    for name, value in METRICS.items():
        if name in ("loss/train", "probe/odd", "probe/far"):
            continue  # a curve's name; numbers that SQLite has no equal of
        assert points(uri, run, name) == [(0, value)], name
    for name in ("final/loss/train", "probe/odd", "probe/far"):
        assert len(points(uri, run, name)) == 1, name


@pytest.mark.parametrize("file_is_there", [True, False])
def test_an_epoch_of_which_a_killed_driver_recorded_a_part_is_completed(
    uri: str, monkeypatch: pytest.MonkeyPatch, file_is_there: bool
) -> None:
    """The store fell after the first of two batches; the next driver sends the rest, from the
    file or, on another machine, as its worker tells the epochs again.
    """
    monkeypatch.setattr("raymm.tracking.BATCH", 3)
    epochs = [{"epoch": float(i), **{f"loss/{n}": i / 4 for n in "abcd"}} for i in (1, 2)]
    dead = opened(uri)
    dead.start(cell())
    assert dead.flush(5)
    log_batch, sent = MlflowClient.log_batch, list[int]()

    def fails_later(self: MlflowClient, *args: object, **what: object) -> None:
        if "metrics" in what:
            sent.append(1)
            if len(sent) > 1:
                raise OSError("the store is gone")
        log_batch(self, *args, **what)  # type: ignore[arg-type]

    with monkeypatch.context() as failing:
        failing.setattr(MlflowClient, "log_batch", fails_later)
        dead.log_epochs("key1", epochs)
        assert not dead.flush(1.0)
        kill(dead, uri)
    (run,) = runs(uri, "cell")
    assert len(run.data.metrics) == 3
    assert dead.unsent_file is not None
    if not file_is_there:
        dead.unsent_file.unlink()
    with opened(uri) as ledger:
        assert ledger.claim([cell()]).mine == [cell()]
        ledger.start(cell())
        ledger.log_epochs("key1", epochs)
        ledger.end(result(cell(), "failed", "why"))
    for name in epochs[0].keys() - {"epoch"}:
        assert points(uri, run, name) == [(1, 0.25), (2, 0.5)], name
