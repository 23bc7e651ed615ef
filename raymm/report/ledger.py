"""A sweep's record from MLflow alone, where its results folder is gone or elsewhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from raymm.config import CellConfig, from_dict
from raymm.errors import ConfigError
from raymm.report.record import SweepRecord, record_of
from raymm.sweep.cells import Cell, CellResult, Status
from raymm.sweep.tags import (
    ACCELERATOR,
    CPUS,
    CURVE,
    DATASET,
    KEY,
    KIND,
    PART_OF,
    STORAGE,
    SWEEP,
    WORKERS,
    config_of,
    curve_in,
    result_of,
)
from raymm.tracking import RunRecord, Store

TRAINED_ON = {"gpu": ACCELERATOR, "workers_per_cell": WORKERS, "cpus_per_worker": CPUS}
"""Settings that decide no number and so are no parameters of a sweep, by the tag that has them."""
LOSSES = ("loss/train", "loss/val")
"""Of a curve, what a report shows; asking for all would take a call for each metric and cell."""


def ledger_names(tracking_uri: str | None) -> list[str]:
    """Names of the sweeps in an MLflow store."""
    runs = Store(tracking_uri).runs(f"tags.`{KIND}` = 'sweep'")
    return sorted({run.tags[SWEEP] for run in runs if SWEEP in run.tags})


def read_ledger(name: str, tracking_uri: str | None) -> SweepRecord | None:
    """The record of a sweep as MLflow has it; None if it has no cell of such a sweep.

    Raises:
        TrackingError: the store cannot be used.
        SweepError: two cells stand for the same condition and seeds.
    """
    if any(mark in name for mark in "'`\\/"):
        return None
    store = Store(tracking_uri)
    runs = store.runs(f"tags.`{PART_OF}{name}` = 'true' and tags.`{KIND}` = 'cell'")
    if not runs:
        return None
    results, notes = [], []
    for run in runs:
        try:
            results.append(_result(store, run))
        except (ConfigError, KeyError, ValueError) as error:
            notes.append(f"Run {run.name} cannot be read and is left out: {error}")
    parents = store.runs(f"tags.`{SWEEP}` = '{name}' and tags.`{KIND}` = 'sweep'")
    settings = dict(parents[0].params) if parents else {}
    on = (parents or runs)[0].tags
    settings |= {setting: on[tag] for setting, tag in TRAINED_ON.items() if tag in on}
    kinds = {run.tags[ACCELERATOR] for run in runs if ACCELERATOR in run.tags}
    others = sorted(kinds - {on.get(ACCELERATOR)})
    settings |= {"larger_gpu": ", ".join(others)} if others else {}
    folder = runs[0].tags.get(STORAGE, "")
    record = record_of(
        results,
        name=name,
        command="",
        settings=settings,
        environment={},
        storage=folder.rpartition("/")[0] or None,
    )
    return dataclasses.replace(record, notes=(*record.notes, *notes))


def _result(store: Store, run: RunRecord) -> CellResult:
    cell = Cell(run.tags[KEY], from_dict(CellConfig, config_of(run), run.name))
    recorded = set(json.loads(run.tags.get(CURVE, "[]")))
    curve = curve_in(run) or {}
    for metric in recorded.intersection(() if curve else LOSSES):
        for step, value in store.history(run.run_id, metric):
            curve.setdefault(step, {"epoch": float(step)})[metric] = value
    # What a curve has under a name is not the final metric of that name.
    named = {0: dict.fromkeys(recorded, 0.0)}
    result = result_of(cell, run.tags.get(DATASET, ""), run, named)
    epochs: tuple[Mapping[str, float], ...] = tuple(epoch for _, epoch in sorted(curve.items()))
    status: Status = "stopped" if run.status in ("RUNNING", "KILLED") else result.status
    return dataclasses.replace(result, status=status, curve=epochs)
