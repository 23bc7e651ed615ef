"""A sweep's record from its results folder, where an earlier report has left everything needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from raymm.errors import SweepError
from raymm.report.cross import read_cross
from raymm.report.record import Curve, SweepRecord, only_numbers, parts_notes
from raymm.report.tables import CELL_COLUMNS
from raymm.storage.address import without_credentials

CELLS, CURVES, ABOUT, SWEEP = "cells.csv", "curves.csv", "report.json", "sweep.json"
STATUSES = {"finished", "failed", "stopped"}


def about_text(record: SweepRecord) -> str:
    """What of a record is in no table, as `report.json` keeps it."""
    about = {
        "name": record.name,
        "command": record.command,
        "settings": record.settings,
        "environment": record.environment,
        "fingerprints": record.fingerprints,
        "storage": _shareable(record.storage),
        "in_parts": list(record.in_parts),
    }
    return json.dumps(about, indent=1, default=str) + "\n"


def _shareable(storage: str | None) -> str | None:
    """Where the cells are, as a report may say it: without passwords, and from here if below here."""
    if storage is None or "://" in storage:
        return storage and without_credentials(storage)
    path, here = Path(storage), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else storage


def read_folder(folder: Path) -> SweepRecord | None:
    """The record that a results folder holds; None if it holds no sweep's results.

    Samples are not read: they lie in the cells' storage.

    Raises:
        SweepError: a file is damaged or lacks what every sweep's has.
    """
    file = folder / CELLS
    if not file.exists():
        return None
    cells, notes = only_numbers(_read_cells(file))
    about = {**_read_json(folder / SWEEP), **_read_json(folder / ABOUT)}
    in_parts = tuple(map(str, about.get("in_parts") or ()))
    return SweepRecord(
        name=folder.resolve().name,
        cells=cells,
        curves=_read_curves(folder / CURVES),
        command=str(about.get("command", "")),
        settings=_mapping(about, "settings"),
        environment={k: str(v) for k, v in _mapping(about, "environment").items()},
        fingerprints={k: str(v) for k, v in _mapping(about, "fingerprints").items()},
        cross=read_cross(folder),
        storage=about.get("storage"),
        in_parts=in_parts,
        notes=(*notes, *parts_notes(in_parts)),
    )


def _read_cells(file: Path) -> pd.DataFrame:
    texts = {"dataset": str, "model": str, "cell_key": str, "status": str, "reason": str}
    try:
        cells = pd.read_csv(file, dtype=texts)
    except (OSError, ValueError) as error:
        raise SweepError(
            f"{file} cannot be read: {error}. Run the sweep's command again."
        ) from error
    missing = [name for name in CELL_COLUMNS if name not in cells]
    if missing or cells.empty:
        what = f"lacks the columns {missing}" if missing else "has no cells"
        raise SweepError(f"{file} {what}. Run the sweep's command again: it writes it anew.")
    cells["reason"] = cells["reason"].fillna("")
    strange = sorted(set(cells["status"]) - STATUSES)
    if strange:
        raise SweepError(f"{file}: status {strange[0]!r} is none of {sorted(STATUSES)}.")
    return cells


def _read_curves(file: Path) -> dict[str, Curve]:
    if not file.exists():
        return {}
    try:
        frame = pd.read_csv(file, dtype={"cell_key": str})
        groups = frame.groupby("cell_key", sort=False)
        return {str(key): _epochs(rows) for key, rows in groups}
    except (OSError, ValueError, KeyError) as error:
        raise SweepError(
            f"{file} cannot be read: {error!r}. Remove it: losses go with it."
        ) from error


def _epochs(rows: pd.DataFrame) -> Curve:
    epochs = rows.drop(columns="cell_key").astype("float64").to_dict("records")
    return [{str(k): v for k, v in epoch.items() if not math.isnan(v)} for epoch in epochs]


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise SweepError(f"{file} cannot be read: {error}. Remove it, or bring it back.") from error


def _mapping(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = about.get(name)
    return found if isinstance(found, Mapping) else {}
