"""The record in MLflow, in real SQLite stores."""

from __future__ import annotations

import math
import socket
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from raymm.config import CellConfig, DataConfig, TrainConfig
from raymm.errors import TrackingError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.grid import GridSettings
from raymm.tracking import Tracker, flat, without_credentials
from raymm.command import shareable

CURVE = (
    {"epoch": 1.0, "loss/train": 2.0, "learning_rate": 0.1},
    {"epoch": 2.0, "loss/train": 1.0, "learning_rate": 0.2},
)
METRICS = {"loss/train": 2.0, "probe/auprc": 0.75, "probe/odd": math.nan, "probe/far": math.inf}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with its tables made, which takes seconds: copied for each test."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Tracker(f"sqlite:///{file}", "digits").open_sweep("none", {})
    (parent,) = runs(f"sqlite:///{file}", "sweep")
    MlflowClient(f"sqlite:///{file}").delete_run(parent.info.run_id)
    return file.read_bytes()


@pytest.fixture
def uri(empty_store: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{tmp_path}/mlflow.db"


def cell(seed: int = 1) -> Cell:
    config = CellConfig(data=DataConfig(sparsity=0.4), train=TrainConfig(seed=seed))
    return Cell(f"key{seed}", config)


def result(of: Cell, status: str = "finished", reason: str = "") -> CellResult:
    metrics = METRICS if status == "finished" else {}
    return CellResult(of.config, "digits", of.key, status, reason, metrics, CURVE)  # type: ignore[arg-type]


def runs(uri: str, kind: str) -> list[Run]:
    client = MlflowClient(uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(ids, f"tags.`raymm.kind` = '{kind}'"))


def opened(uri: str, name: str = "trial") -> Tracker:
    tracker = Tracker(uri, "digits")
    tracker.open_sweep(name, {"epochs": 3, "data": {"address": "s3://me:secret@bucket/x"}})
    return tracker


def test_a_finished_cell_is_one_run_with_all_there_is_to_know(uri: str) -> None:
    tracker = opened(uri)
    tracker.start(cell())
    tracker.log_epochs("key1", CURVE)
    tracker.end(result(cell()))
    tracker.close_sweep("FINISHED")
    (parent,), (run,) = runs(uri, "sweep"), runs(uri, "cell")
    assert run.info.run_name == "mca S=0.4 seed=1"
    assert run.info.status == parent.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    wanted = {"cell_key": "key1", "model": "mca", "sparsity": "0.4", "seed": "1"}
    assert wanted.items() <= {k.removeprefix("raymm."): v for k, v in run.data.tags.items()}.items()
    assert run.data.params["data.sparsity"] == "0.4"
    assert run.data.params["train.epochs"] == str(TrainConfig().epochs)
    history = MlflowClient(uri).get_metric_history(run.info.run_id, "loss/train")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]


def test_nothing_secret_is_recorded(uri: str) -> None:
    opened(uri)
    (parent,) = runs(uri, "sweep")
    assert parent.data.params == {"epochs": "3", "data.address": "s3://bucket/x"}


def test_what_is_read_back_is_what_was_recorded(uri: str) -> None:
    tracker = opened(uri)
    for number in (1, 2):
        tracker.start(cell(number))
        tracker.log_epochs(f"key{number}", CURVE)
    tracker.end(result(cell(1)))
    tracker.end(result(cell(2), "failed", "TrainingError: no"))
    found = Tracker(uri, "digits").finished([cell(1), cell(2), cell(3)])
    assert list(found) == ["key1"]
    back = found["key1"]
    odd = dict(back.metrics)
    assert math.isnan(odd.pop("probe/odd"))
    assert odd == {name: value for name, value in METRICS.items() if name != "probe/odd"}
    assert back.curve == CURVE
    assert (back.cell, back.status, back.dataset) == (cell().config, "finished", "digits")


def test_a_failed_cell_is_retried_in_its_run_and_no_step_is_logged_twice(uri: str) -> None:
    tracker = opened(uri)
    tracker.start(cell())
    tracker.log_epochs("key1", CURVE[:1])
    tracker.end(result(cell(), "failed", "TrainingError: no"))
    (failed,) = runs(uri, "cell")
    assert (failed.info.status, failed.data.tags["raymm.reason"]) == ("FAILED", "TrainingError: no")

    again = opened(uri)
    assert again.finished([cell()]) == {}
    again.start(cell())
    (running,) = runs(uri, "cell")
    assert (running.info.status, running.data.tags["raymm.reason"]) == ("RUNNING", "")
    again.log_epochs("key1", CURVE)
    again.log_epochs("key1", CURVE[1:])
    again.end(result(cell()))
    (run,) = runs(uri, "cell")
    assert (run.info.status, run.data.tags["raymm.reason"]) == ("FINISHED", "")
    history = MlflowClient(uri).get_metric_history(run.info.run_id, "loss/train")
    assert [point.step for point in history] == [1, 2]
    assert len(runs(uri, "sweep")) == 1


def test_another_sweep_that_uses_a_cell_says_so_on_its_run(uri: str) -> None:
    tracker = opened(uri, "first")
    tracker.start(cell())
    tracker.end(result(cell()))
    other = opened(uri, "second")
    other.mark_part_of_sweep(other.finished([cell()]))
    (run,) = runs(uri, "cell")
    assert run.data.tags["raymm.sweep"] == "first"
    assert {"raymm.part_of.first", "raymm.part_of.second"} <= run.data.tags.keys()


def test_the_default_store_is_under_mlruns_where_the_command_is_run(
    uri: str, tmp_path: Path, empty_store: bytes
) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_bytes(empty_store)
    tracker = Tracker(None, "digits")
    tracker.open_sweep("trial", {})
    assert tracker.ui_command == "mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db"


@pytest.mark.parametrize("listening", [False, True])
def test_a_server_that_does_not_answer_is_found_within_seconds(listening: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:  # takes the connection and never says a word
            server.listen()
        started = time.monotonic()
        port = server.getsockname()[1]
        with pytest.raises(TrackingError, match=r"does not answer.*--tracking-uri"):
            Tracker(f"http://127.0.0.1:{port}", "digits")
        assert time.monotonic() - started < 8


def test_a_store_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for where in (blocked, f"{blocked}/mlflow.db"):
        with pytest.raises(TrackingError, match=r"cannot be used.*--tracking-uri"):
            opened(f"sqlite:///{where}")


def test_to_look_for_finished_cells_makes_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tracker(None, "digits").finished([cell()]) == {}
    assert list(tmp_path.iterdir()) == []


def test_credentials_leave_an_address_and_nothing_else_does() -> None:
    assert without_credentials("postgresql://u:p@host/db") == "postgresql://host/db"
    assert without_credentials("https://host/a@b") == "https://host/a@b"
    assert without_credentials("plain") == "plain"
    assert without_credentials("http://u:p@ss@host") == "http://host"


@pytest.mark.parametrize("port", ["", ":1"])
def test_a_password_in_the_address_is_not_told(port: str) -> None:
    with pytest.raises(TrackingError, match="does not answer") as caught:
        Tracker(f"http://user:secret@127.0.0.1{port}", "digits")
    assert "secret" not in str(caught.value)


def test_a_report_shows_addresses_without_passwords() -> None:
    shown = shareable(GridSettings(tracking_uri="https://user:secret@host/x", seeds=(3,)))
    assert shown["tracking_uri"] == "https://host/x"
    assert shown["seeds"] == (3,)


def test_a_database_without_its_driver_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TrackingError, match="driver") as caught:
        Tracker("postgresql://user:secret@127.0.0.1:1/runs", "digits").finished([cell()])
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_written_is_known_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tracker = Tracker(f"sqlite:///{tmp_path}/file/mlflow.db", "digits")
    with pytest.raises(TrackingError, match=r"file/mlflow.db cannot be used.*--tracking-uri"):
        tracker.claim()


def test_a_store_that_fails_later_is_told_of_too(uri: str) -> None:
    tracker = opened(uri)
    tracker.start(cell())
    odd = {"epoch": 1.0, "uniformity/50%": 1.0}  # a name that MLflow refuses
    with pytest.raises(TrackingError, match=r"50%.*same command goes on"):
        tracker.log_epochs("key1", [odd])


def test_nested_settings_become_flat_names() -> None:
    assert dict(flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3})) == {"a.b": 1, "a.c.d": 2, "e": 3}
