"""How a ledger's runs are tagged, and what is read from them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from raymm.config import flat, to_dict
from raymm.science import SCIENCE_VERSION
from raymm.storage.address import without_credentials
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.environment import git_commit
from raymm.tracking import TAG_CHARS, RunRecord

FINAL = "final/"
KIND, SWEEP, DRIVER = "raymm.kind", "raymm.sweep", "raymm.driver"
KEY, PART_OF, CONDITION = "raymm.cell_key", "raymm.part_of.", "raymm.condition"
MODEL, SPARSITY, SEED = "raymm.model", "raymm.sparsity", "raymm.seed"
DATASET, REASON, CURVE, EPOCH = "raymm.dataset", "raymm.reason", "raymm.curve", "raymm.epoch"
HISTORY = "raymm.history"
"""A finished cell's whole curve, where it is short: to ask MLflow for a curve takes a call for each
of its metrics, which is minutes for thousands of cells."""
STORAGE, SCIENCE, CONFIG = "raymm.storage", "raymm.science_version", "raymm.config"
ACCELERATOR, WORKERS, CPUS = "raymm.accelerator", "raymm.workers", "raymm.cpus_per_worker"
GPU_SHARE, CLUSTER = "raymm.gpus_per_worker", "raymm.cluster"
LEFT = "raymm.left_s"
STUDY, TRIAL = "raymm.study", "raymm.trial"
"""Of a search: name of the study, and number of the trial that a cell belongs to."""
MICRO_BATCHES = "raymm.micro_batches"
"""Parts that a cell's steps were cut into after memory ran out; absent where they were not."""
PARENT = "mlflow.parentRunId"
STATUS_OF = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

Curve = dict[int, dict[str, float]]
"""Epochs by number, each with "epoch" and what was measured."""
Point = tuple[str, float, int]
"""Name, value and step."""


def cell_tags(cell: Cell, *, dataset: str, storage: str) -> dict[str, str]:
    """What a cell's run says of it, whichever driver trains it.

    Args:
        dataset: name of the data set.
        storage: root of the cells' folders.
    """
    config = cell.config
    return {
        KEY: cell.key,
        KIND: "cell",
        MODEL: config.model.name,
        SPARSITY: f"{config.data.sparsity:g}",
        SEED: str(config.train.seed),
        CONDITION: condition(cell),
        DATASET: dataset,
        STORAGE: without_credentials(f"{storage}/{cell.key}"),
        SCIENCE: str(SCIENCE_VERSION),
        CONFIG: without_credentials(json.dumps(to_dict(config))),
        REASON: "",  # why it ended before is no longer so
        **commit_tag(),
    }


def run_name(cell: Cell, tags: Mapping[str, str]) -> str:
    """What a cell's run is called: its title, and the trial by which a search's cells are told apart."""
    return f"{cell.title} trial {tags[TRIAL]}" if TRIAL in tags else cell.title


def condition(cell: Cell) -> str:
    """What a cell has in common with those of other seeds: "mca S=0.4"."""
    return cell.title.rpartition(" seed=")[0] or cell.title


def condition_tags(cells: Sequence[Cell]) -> dict[str, str]:
    """How many cells each condition of a sweep has."""
    counts: dict[str, int] = {}
    for cell in cells:
        counts[condition(cell)] = counts.get(condition(cell), 0) + 1
    return {
        f"{CONDITION}.{number}": json.dumps({"title": title, "cells": count})
        for number, (title, count) in enumerate(counts.items())
    }


def params(settings: Mapping[str, object]) -> dict[str, str]:
    """Nested settings as MLflow's parameters, without passwords."""
    return {name: without_credentials(str(value))[:6000] for name, value in flat(settings)}


def commit_tag() -> dict[str, str]:
    """The commit of this program, where there is one."""
    commit = git_commit()
    return {"mlflow.source.git.commit": commit} if commit else {}


def history_tag(curve: Curve) -> dict[str, str]:
    """A curve as a tag; none if it is too long for one."""
    text = json.dumps([epoch for _, epoch in sorted(curve.items())])
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return {HISTORY: packed} if len(packed) <= TAG_CHARS else {}


def curve_in(run: RunRecord) -> Curve | None:
    """The curve that a finished cell's tag has; None if there is none."""
    packed = run.tags.get(HISTORY)
    if packed is None or run.status != "FINISHED":
        return None
    epochs = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {int(epoch["epoch"]): epoch for epoch in epochs}


def final_points(metrics: Mapping[str, float], curve: Curve) -> list[Point]:
    """Final metrics as points; those whose name a curve has get another name."""
    in_curve = {name for epoch in curve.values() for name in epoch}
    return [
        (FINAL + name if name in in_curve else name, value, 0) for name, value in metrics.items()
    ]


def result_of(cell: Cell, dataset: str, run: RunRecord, curve: Curve) -> CellResult:
    """A cell whose run has ended, as it was when it ended: finished, else failed."""
    epochs = tuple(epoch for _, epoch in sorted(curve.items()))
    parts = int(run.tags.get(MICRO_BATCHES, "1"))
    of = partial(CellResult, cell.config, dataset, cell.key, curve=epochs, micro_batches=parts)
    if run.status != "FINISHED":
        return of("failed", run.tags.get(REASON, ""))
    in_curve = {name for epoch in curve.values() for name in epoch}
    metrics = {
        name.removeprefix(FINAL): value
        for name, value in run.metrics.items()
        if name not in in_curve
    }
    return of("finished", metrics=metrics)


def config_of(run: RunRecord) -> dict[str, Any]:
    """A cell's settings as its run has them, for `raymm.config.from_dict`."""
    found: dict[str, Any] = json.loads(run.tags[CONFIG])
    return found
