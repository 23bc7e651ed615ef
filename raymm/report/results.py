"""Finds sweeps by name, in results folders or in MLflow, and what they came to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import fsspec
import pandas as pd

from raymm.errors import SweepError, nearest
from raymm.report.folder import CELLS, read_folder
from raymm.report.kept import load_samples
from raymm.report.ledger import ledger_names, read_ledger
from raymm.report.record import SweepRecord
from raymm.report.side_by_side import side_by_side

RESULTS, SEARCH = "results", "trials.csv"


def results(
    *names: str, results_dir: str = RESULTS, tracking_uri: str | None = None
) -> pd.DataFrame:
    """What the cells of one or several sweeps came to: a row each, metrics under their stable names.

    Columns: dataset, model, sparsity, seed, cell_key, status, reason, mask_seed, split_seed, then the
    metrics, nan where a cell has none.

    Args:
        names: of sweeps, or paths of results folders.
        results_dir: folder of the results folders.
        tracking_uri: MLflow store to look in for what is not there; None for the local one.

    Raises:
        SweepError: there is no such sweep (with the nearest name), or the sweeps are not of the
            same data.
        TrackingError: MLflow cannot be asked.
    """
    return find_sweeps(names, results_dir=results_dir, tracking_uri=tracking_uri).cells


def find_sweeps(
    names: Sequence[str], *, results_dir: str = RESULTS, tracking_uri: str | None = None,
    storage: str | None = None, samples: bool = False,
) -> SweepRecord:  # fmt: skip
    """The record of a sweep, or of several side by side.

    Args:
        names: of sweeps, or paths of results folders.
        results_dir: folder of the results folders.
        tracking_uri: MLflow store to look in for what is not there; None for the local one.
        storage: root of the cells' folders, if it is not where the sweep says.
        samples: read what the cells kept of their test split.

    Raises:
        SweepError: there is no such sweep (with the nearest name), or the sweeps are not of the
            same data.
        TrackingError: MLflow cannot be asked.
    """
    if not names:
        raise SweepError("Give the name of at least one sweep.")
    records = [_find(name, results_dir, tracking_uri) for name in names]
    if storage is not None:
        records = [dataclasses.replace(record, storage=storage) for record in records]
    records = [_with_fingerprints(record) for record in records]
    if samples:
        records = [_with_samples(record) for record in records]
    return side_by_side(records)


def folder_of(name: str, results_dir: str) -> Path:
    """Where a sweep's results are, or would be: the path given, or the folder of that name."""
    path = Path(name)
    return path if (path / CELLS).exists() else Path(results_dir) / name


def _find(name: str, results_dir: str, tracking_uri: str | None) -> SweepRecord:
    record = read_folder(folder_of(name, results_dir))
    if record is None and (folder_of(name, results_dir) / SEARCH).exists():
        raise SweepError(
            f"'{name}' is a search, whose trials have different settings: its page is "
            f"{folder_of(name, results_dir)}/report.html, written by the search's own command."
        )
    if record is None:
        record = read_ledger(name, tracking_uri)
    if record is None:
        root = Path(results_dir)
        here = {path.parent.name for path in root.glob(f"*/{CELLS}")} if root.is_dir() else set()
        known = here | set(ledger_names(tracking_uri))
        raise SweepError(
            f"There is no sweep '{name}' in {results_dir}/ or in MLflow: {nearest(name, known)}"
        )
    return record


def _with_fingerprints(record: SweepRecord) -> SweepRecord:
    """With the data's fingerprint as a finished cell's description has it, if it is not recorded."""
    if record.fingerprints or record.storage is None:
        return record
    found: dict[str, str] = {}
    for dataset, cells in record.finished.groupby("dataset", sort=False):
        for key in cells["cell_key"].head(3):
            try:
                fs, root = fsspec.url_to_fs(f"{record.storage}/{key}")
                found[str(dataset)] = str(
                    json.loads(fs.cat_file(f"{root}/model.json"))["fingerprint"]
                )
                break
            except (OSError, ValueError, KeyError, ImportError):
                continue
    return dataclasses.replace(record, fingerprints=found)


def _with_samples(record: SweepRecord) -> SweepRecord:
    samples, notes = load_samples(record.storage, record.finished["cell_key"].to_list())
    return dataclasses.replace(record, samples=samples, notes=(*record.notes, *notes))
