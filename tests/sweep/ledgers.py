"""Cells, results and ledgers for the tests of the record."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from raymm.config import CellConfig, DataConfig, TrainConfig
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.drivers import HOST, PLACE, PROCESS, Pace
from raymm.sweep.ledger import Ledger
from raymm.tracking import Store, StoreAwayError

CURVE = (
    {"epoch": 1.0, "loss/train": 2.0, "learning_rate": 0.1},
    {"epoch": 2.0, "loss/train": 1.0, "learning_rate": 0.2},
)
METRICS = {
    "loss/train": 2.0, "uniformity/fusion": -1.0, "probe/auprc": 0.75, "probe/odd": math.nan,
    "probe/far": math.inf,
}  # fmt: skip
FAST = Pace(beat_s=0.2, lease_s=1.0, silent_s=3.0, gap_s=2.0)


def cell(seed: int = 1) -> Cell:
    config = CellConfig(data=DataConfig(sparsity=0.4), train=TrainConfig(seed=seed))
    return Cell(f"key{seed}", config)


def result(of: Cell, status: Any = "finished", reason: str = "") -> CellResult:
    metrics = METRICS if status == "finished" else {}
    return CellResult(of.config, "digits", of.key, status, reason, metrics, CURVE)


def runs(uri: str, kind: str) -> list[Run]:
    """Runs of a kind. MLflow keeps a store for each address, so a relative one is made absolute."""
    if uri.startswith("sqlite:///"):
        uri = f"sqlite:///{Path(uri.removeprefix('sqlite:///')).absolute()}"
    client = MlflowClient(uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(ids, f"tags.`raymm.kind` = '{kind}'"))


def points(uri: str, run: Run, metric: str = "loss/train") -> list[tuple[int, float]]:
    history = MlflowClient(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in history)


def opened(
    uri: str | None,
    name: str = "trial",
    cells: Sequence[Cell] = (),
    pace: Pace = FAST,
    alone: bool = False,
    how: Mapping[str, str] = MappingProxyType({}),
) -> Ledger:
    """A ledger with a sweep open, whose results folder is where the test runs."""
    ledger = Ledger(uri, "digits", pace=pace, retry_s=0.1)
    settings = {"epochs": 3, "data": {"address": "s3://me:secret@bucket/x"}}
    ledger.open_sweep(
        name,
        settings,
        folder=Path.cwd(),
        storage="s3://k:s@b/cells",
        cells=cells,
        alone=alone,
        how=how,
    )
    return ledger


def move_away(uri: str, driver: str) -> None:
    """Have a driver's record say that it runs on another machine, where nobody sees its process."""
    Store(uri).describe(driver, {HOST: "far", PLACE: "another boot", PROCESS: "7:1"})


def lose(ledger: Ledger, uri: str) -> str:
    """End a driver as the death of its machine does: no more signs of it, and all as it was.

    Returns its id.
    """
    driver = _silenced(ledger)
    move_away(uri, driver)
    return driver


def kill(ledger: Ledger, uri: str) -> None:
    """End a driver as a SIGKILL of its process does."""
    Store(uri).describe(_silenced(ledger), {PROCESS: f"{os.getpid()}:1"})


def _silenced(ledger: Ledger) -> str:
    """Stop a driver's threads; returns its id."""
    now = ledger._open
    assert now is not None
    now.outbox.close()
    now.driver._ending.set()
    now.driver._thread.join()
    return now.driver.id


def cut_off(ledger: Ledger) -> None:
    """Have nothing that a ledger records from now on reach the store."""

    def away(message: object) -> None:
        raise StoreAwayError("away")

    assert ledger._open is not None and ledger.flush(5)
    ledger._open.outbox._deliver = away


def train(ledger: Ledger, of: Cell) -> None:
    """Record a cell from its start to its end."""
    ledger.start(of)
    ledger.log_epochs(of.key, CURVE)
    ledger.end(result(of))
