"""The record in MLflow, in real SQLite stores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from raymm.config import CellConfig, from_dict
from raymm.errors import TrackingError
from raymm.science import SCIENCE_VERSION
from raymm.sweep.cells import CellResult
from raymm.sweep.ledger import Ledger
from tests.sweep.ledgers import CURVE, METRICS, cell, opened, points, result, runs, train


def test_a_finished_cell_is_one_run_with_all_there_is_to_know(uri: str) -> None:
    with opened(uri, cells=[cell(1), cell(2)]) as ledger:
        train(ledger, cell())
        ledger.close_sweep("FINISHED")
        assert ledger.settle(5)
    (parent,), (run,), (driver,) = (runs(uri, kind) for kind in ("sweep", "cell", "driver"))
    assert run.info.run_name == "mca S=0.4 seed=1"
    assert {each.info.status for each in (run, parent, driver)} == {"FINISHED"}
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    tags = {k.removeprefix("raymm."): v for k, v in run.data.tags.items()}
    wanted = {"cell_key": "key1", "model": "mca", "sparsity": "0.4", "seed": "1", "epoch": "2"}
    wanted |= {"storage": "s3://b/cells/key1", "science_version": str(SCIENCE_VERSION)}
    assert wanted.items() <= tags.items()
    assert from_dict(CellConfig, json.loads(tags["config"])) == cell().config
    assert run.data.params["data.sparsity"] == "0.4"
    assert points(uri, run) == [(1, 2.0), (2, 1.0)]
    condition = json.loads(parent.data.tags["raymm.condition.0"])
    assert condition == {"title": "mca S=0.4", "cells": 2}


def test_nothing_secret_is_recorded(uri: str) -> None:
    with opened(uri) as ledger:
        train(ledger, cell())
    (parent,) = runs(uri, "sweep")
    assert parent.data.params == {"epochs": "3", "data.address": "s3://bucket/x"}
    assert b"k:s@" not in Path("mlflow.db").read_bytes()


def test_what_is_read_back_is_what_was_recorded(uri: str) -> None:
    with opened(uri) as ledger:
        train(ledger, cell(1))
        ledger.start(cell(2))
        ledger.log_epochs("key2", CURVE)
        ledger.end(result(cell(2), "failed", "TrainingError: no"))
        assert ledger.flush(5)
    found = Ledger(uri, "digits").finished([cell(1), cell(2), cell(3)])
    assert list(found) == ["key1"]
    back = found["key1"]
    odd = dict(back.metrics)
    assert math.isnan(odd.pop("probe/odd"))
    assert odd == {name: value for name, value in METRICS.items() if name != "probe/odd"}
    assert back.curve == CURVE
    (finished,) = [run for run in runs(uri, "cell") if run.info.status == "FINISHED"]
    assert "raymm.history" in finished.data.tags
    MlflowClient(uri).delete_tag(finished.info.run_id, "raymm.history")  # as that of a long curve
    again = Ledger(uri, "digits").finished([cell(1)])["key1"]
    assert again.curve == back.curve and repr(again.metrics) == repr(back.metrics)
    assert (back.cell, back.status, back.dataset) == (cell().config, "finished", "digits")


def test_a_failed_cell_is_retried_in_its_run_and_no_step_is_logged_twice(uri: str) -> None:
    with opened(uri) as ledger:
        ledger.start(cell())
        ledger.log_epochs("key1", CURVE[:1])
        ledger.end(result(cell(), "failed", "TrainingError: no"))
    (failed,) = runs(uri, "cell")
    assert (failed.info.status, failed.data.tags["raymm.reason"]) == ("FAILED", "TrainingError: no")

    with opened(uri) as again:
        assert again.finished([cell()]) == {}
        again.start(cell())
        assert again.flush(5)
        (running,) = runs(uri, "cell")
        assert (running.info.status, running.data.tags["raymm.reason"]) == ("RUNNING", "")
        again.log_epochs("key1", CURVE)
        again.log_epochs("key1", CURVE[1:])
        assert again.curve("key1") == CURVE
        again.end(result(cell()))
    (run,) = runs(uri, "cell")
    assert (run.info.status, run.data.tags["raymm.reason"]) == ("FINISHED", "")
    assert points(uri, run) == [(1, 2.0), (2, 1.0)]
    assert len(runs(uri, "sweep")) == 1


def test_another_sweep_that_uses_a_cell_says_so_on_its_run(uri: str) -> None:
    with opened(uri, "first") as ledger:
        train(ledger, cell())
    with opened(uri, "second") as other:
        other.mark_part_of_sweep(other.finished([cell()]))
    (run,) = runs(uri, "cell")
    assert run.data.tags["raymm.sweep"] == "first"
    assert {"raymm.part_of.first", "raymm.part_of.second"} <= run.data.tags.keys()


def test_what_a_cells_run_says_already_is_not_said_again(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(uri, "first") as ledger:
        train(ledger, cell())
    with opened(uri, "first") as again, monkeypatch.context() as watched:
        put: list[object] = []
        watched.setattr(Ledger, "_put", lambda self, message: put.append(message))
        again.mark_part_of_sweep(again.finished([cell(), cell(2)]))
        assert put == []
        again.mark_part_of_sweep(["key2"])
        assert len(put) == 1


def test_a_curve_that_is_too_long_for_a_tag_is_read_from_its_points(uri: str) -> None:
    epochs = [{"epoch": float(n), "loss/val": math.sin(n)} for n in range(1, 801)]
    with opened(uri) as ledger:
        ledger.start(cell())
        ledger.log_epochs("key1", epochs)
        ledger.end(result(cell()))
    (run,) = runs(uri, "cell")
    assert "raymm.history" not in run.data.tags
    assert list(Ledger(uri, "digits").finished([cell()])["key1"].curve) == epochs


def test_a_cell_whose_run_was_deleted_gets_another(uri: str) -> None:
    with opened(uri) as ledger:
        train(ledger, cell())
    (run,) = runs(uri, "cell")
    MlflowClient(uri).delete_run(run.info.run_id)
    with opened(uri) as again:
        assert again.claim([cell()]).mine == [cell()]
        train(again, cell())
    (other,) = runs(uri, "cell")
    assert other.info.run_id != run.info.run_id
    assert points(uri, other) == [(1, 2.0), (2, 1.0)]


def test_what_is_open_when_an_error_comes_is_ended(uri: str) -> None:
    ledger = opened(uri)
    ledger.start(cell())
    with pytest.raises(KeyError), ledger:
        raise KeyError
    statuses = {run.info.status for kind in ("sweep", "cell", "driver") for run in runs(uri, kind)}
    assert statuses == {"KILLED"}


def test_a_cell_scored_on_validation_only_is_there_to_be_scored_on_test(uri: str) -> None:
    with opened(uri) as ledger:
        ledger.start(cell())
        metrics = {"val/uniformity/fusion": -1.0}
        ledger.end(CellResult(cell().config, "digits", "key1", "finished", metrics=metrics))
    with opened(uri) as ledger:
        granted = ledger.claim([cell()])
        assert granted.mine == [cell()] and not granted.ended
        train(ledger, cell())
    (run,) = runs(uri, "cell")
    assert run.info.status == "FINISHED"
    assert {"uniformity/fusion", "val/uniformity/fusion"} <= run.data.metrics.keys()


def test_a_metric_that_mlflow_refuses_is_told_of(uri: str) -> None:
    with opened(uri) as ledger:
        ledger.start(cell())
        ledger.log_epochs("key1", [{"epoch": 1.0, "uniformity/50%": 1.0}])
        with pytest.raises(TrackingError, match=r"50%.*same command goes on"):
            ledger.flush(5)


def test_the_default_store_is_under_mlruns_where_the_command_is_run(
    uri: str, tmp_path: Path, empty_store: bytes
) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_bytes(empty_store)
    with opened(None) as ledger:
        assert ledger.ui_command == "mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db"
    assert len(runs(f"sqlite:///{tmp_path}/mlruns/mlflow.db", "sweep")) == 1


def test_to_look_for_finished_cells_makes_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Ledger(None, "digits").finished([cell()]) == {}
    assert list(tmp_path.iterdir()) == []
