"""Where a sweep writes: what it and its folder are called, whose folder that is, and whether the
storage can be written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raymm.data.dataset import Dataset
from raymm.errors import SweepError
from raymm.science import SCIENCE_VERSION
from raymm.storage.address import open_address, without_credentials, words
from raymm.sweep.cells import Cell
from raymm.sweep.settings import SweepSettings

SWEEP_FILE = "sweep.json"
PLACES = {
    "preset",
    "name",
    "results_dir",
    "storage",
    "tracking_uri",
    "artifacts",
    "address",
    "plan",
    "calibrate",
}
PLACES |= {"log_models", "register"}
PLACES |= {"studies", "trials"}  # more trials are more of the same search
SHAPE = {"workers_per_cell", "cpus_per_worker", "gpu", "gpus_per_worker", "max_concurrent"}
SHAPE |= {"larger_gpu", "checkpoint_every_s"}
"""Settings that decide where and how a sweep runs, not what its numbers are."""


def sweep_name(settings: SweepSettings, dataset: Dataset, cells: Sequence[Cell]) -> str:
    """The given name; else the data set's with the preset's, or a hash where settings differ.

    What of the data set's name a folder or a search in MLflow could stumble over becomes a dash.
    """
    if settings.name is not None:
        return settings.name
    plain_name = re.sub(r"[^\w+-]+", "-", dataset.name).strip("-") or "data"
    plain = type(settings)(preset=settings.preset, dataset=settings.dataset)
    keys = ",".join(sorted(cell.key for cell in cells)) + settings.beside_cells()
    if decisive(settings) != decisive(plain):
        preset = hashlib.sha256(keys.encode()).hexdigest()[:8]
    elif settings.preset == "laptop":
        preset = "" if settings.KIND else "default"
    else:
        preset = settings.preset
    return "-".join(part for part in (plain_name, settings.KIND, preset) if part)


def decisive(settings: SweepSettings) -> dict[str, Any]:
    """The settings that decide the numbers, as JSON has them."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return {name: value for name, value in values.items() if name not in PLACES | SHAPE}


def claim_folder(folder: Path, name: str, settings: SweepSettings, cells: Sequence[Cell]) -> None:
    """Write down whose results folder it is, and all its cells.

    Raises:
        SweepError: the folder cannot be written.
    """
    content = {
        "name": name,
        "science_version": SCIENCE_VERSION,
        "settings": decisive(settings),
        "cells": {cell.key: cell.title for cell in cells},
    }
    aside = folder / f".{SWEEP_FILE}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(aside, folder / SWEEP_FILE)
    except OSError as error:
        raise SweepError(
            f"The results folder {folder} cannot be written: {error}. Give another --results-dir."
        ) from error


def check_folder(folder: Path, settings: SweepSettings, cells: Sequence[Cell]) -> None:
    """Look whether the results folder is free, or this sweep's; the same sweep goes on, and one
    with more cells extends it.

    Raises:
        SweepError: another sweep's results are there, or something that is no sweep's.
    """
    file = folder / SWEEP_FILE
    if not file.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SweepError(
                f"{folder} holds something that is not a sweep's results (no {SWEEP_FILE}). Give "
                "another --name or --results-dir, or move it away."
            )
        return
    try:
        there = json.loads(file.read_text())
        lost = there["cells"].keys() - {cell.key for cell in cells}
        saved: Mapping[str, Any] = there["settings"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepError(
            f"{file} cannot be read: {error!r}. Give another --name, or move the folder away."
        ) from error
    if lost:
        differs = [
            f"{name} is {saved.get(name)!r} there, {value!r} here"
            for name, value in decisive(settings).items()
            if saved.get(name) != value
        ]
        version = there.get("science_version", SCIENCE_VERSION)
        if version != SCIENCE_VERSION:
            differs.append(
                f"they are of science version {version}, this program is of {SCIENCE_VERSION}: "
                "numbers of the two must not be compared"
            )
        why = "; ".join(differs) or "the data or the program have changed since"
        raise SweepError(
            f"{folder} holds the results of another sweep, {len(lost)} of whose cells are not in "
            f"this one: {why}. Give another --name, or move the folder away."
        )


def check_storage(storage: str) -> None:
    """Write a file into the storage and remove it.

    Raises:
        SweepError: it cannot be written.
    """
    try:
        fs, path = open_address(f"{storage}/.raymm-{uuid.uuid4().hex}")
        fs.makedirs(os.path.dirname(path), exist_ok=True)
        fs.pipe_file(path, b"raymm")
        fs.rm_file(path)
    except OSError as error:
        raise SweepError(
            f"--storage {without_credentials(storage)} cannot be written: {words(error)}. Give a "
            "folder or an s3:// address that can."
        ) from error
