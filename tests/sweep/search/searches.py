"""Searches over the small data set, for the tests: settings, studies, and made-up cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from raymm.sweep.cells import Cell, CellResult, Status
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.storage import open_storage
from raymm.sweep.search.study import ConditionStudy
from raymm.sweep.search.trials import Condition, SearchTrial
from tests.sweep.small import dataset

MCA = Condition("mca", 0.4)
METRIC = "val/probe/auprc"


def search_settings(**settings: Any) -> SearchSettings:
    """A search of one condition, of six trials."""
    plain = {"models": ("mca",), "sparsities": (0.4,), "trials": 6, "name": "s"}
    return SearchSettings(**{**plain, **settings})


def storage_in(folder: Path) -> BaseStorage:
    """A storage in a file; opened anew, as another driver would. A journal is the fastest."""
    storage = open_storage(f"{folder}/studies.journal", make=True)
    assert storage is not None
    return storage


def study_in(folder: Path, condition: Condition = MCA, **settings: Any) -> ConditionStudy:
    """A condition's study as a driver that has just been started opens it."""
    return ConditionStudy(
        "s", condition, search_settings(**settings), dataset(), storage_in(folder)
    )


def ask_all(study: ConditionStudy) -> list[SearchTrial]:
    """All trials that are to come, none of which ends before the last is asked for."""
    found = []
    while (trial := study.ask()) is not None:
        found.append(trial)
    return found


def result(
    cell: Cell, status: Status = "finished", reason: str = "", **metrics: float
) -> CellResult:
    """What came of a cell; `auprc=0.5` is its metric METRIC."""
    named = {METRIC if name == "auprc" else name: value for name, value in metrics.items()}
    return CellResult(cell.config, "small", cell.key, status, reason, named)


def losses(*values: float) -> list[dict[str, float]]:
    """A curve with these validation losses."""
    return [{"epoch": float(i), "loss/val": value} for i, value in enumerate(values, 1)]
