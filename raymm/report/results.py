"""Finds sweeps by name, in results folders or in MLflow, and what they came to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from raymm.errors import StorageError, SweepError, TrackingError, nearest
from raymm.report.folder import CELLS, read_folder
from raymm.report.kept import READERS, load_samples
from raymm.report.ledger import ledger_names, read_ledger
from raymm.report.record import SweepRecord
from raymm.report.side_by_side import side_by_side
from raymm.storage.address import joined, open_address
from raymm.storage.mirror import names_in, working_folder

RESULTS, TRIALS = "results", "trials.csv"


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
    """Where a sweep's results are, or would be: the path given, or the folder of that name.

    Of an address it is this machine's working copy.

    Raises:
        StorageError: the address cannot be read.
    """
    path = working_folder(name)
    there = any((path / file).exists() for file in (CELLS, TRIALS))
    return path if there else working_folder(joined(results_dir, name))


def _find(name: str, results_dir: str, tracking_uri: str | None) -> SweepRecord:
    folder = folder_of(name, results_dir)
    record = read_folder(folder)
    if record is None and (folder / TRIALS).exists():
        raise SweepError(
            f"'{name}' is a search, whose trials have different settings: they are no conditions that "
            f"could be compared. Its own page is made by `raymm report {name}`, its trials are in "
            f"{folder}/{TRIALS}."
        )
    if record is not None:
        return record
    here = names_in(results_dir)
    try:
        record = read_ledger(name, tracking_uri)
        known = {*here, *ledger_names(tracking_uri)} if record is None else ()
    except TrackingError as error:
        raise TrackingError(
            f"There is no sweep '{name}' in {results_dir}/: {nearest(name, here)} Whether MLflow has "
            f"it cannot be asked: {error}"
        ) from error
    if record is None:
        raise SweepError(
            f"There is no sweep '{name}' in {results_dir}/ or in MLflow: {nearest(name, known)}"
        )
    return record


def _with_fingerprints(record: SweepRecord) -> SweepRecord:
    """With the data's fingerprint as finished cells' descriptions have it, if it is not recorded.

    Raises:
        SweepError: cells of one data set were trained on different data.
    """
    if record.fingerprints or record.storage is None:
        return record
    keys = record.finished["cell_key"].to_list()
    with ThreadPoolExecutor(READERS) as pool:
        read = dict(zip(keys, pool.map(partial(_fingerprint, record.storage), keys), strict=True))
    found: dict[str, str] = {}
    for dataset, cells in record.finished.groupby("dataset", sort=False):
        prints: dict[str, str] = {}
        for key in cells["cell_key"]:
            if read[key] is not None:
                prints.setdefault(str(read[key]), key)
        if len(prints) > 1:
            (one, first), (other, second), *_ = prints.items()
            raise SweepError(
                f"Cells of {record.name} were trained on different data under the name {dataset}: the "
                f"fingerprint is {one} of cell {first} and {other} of cell {second}. Their numbers "
                "cannot be compared. Train all on the same data, under another --name."
            )
        found |= {str(dataset): one for one in prints}
    return dataclasses.replace(record, fingerprints=found)


def _fingerprint(storage: str, key: str) -> str | None:
    """The data's fingerprint in a cell's folder; None if it cannot be read."""
    try:
        fs, root = open_address(f"{storage}/{key}")
        return str(json.loads(fs.cat_file(f"{root}/model.json"))["fingerprint"])
    except (OSError, ValueError, KeyError, ImportError, StorageError):
        return None


def _with_samples(record: SweepRecord) -> SweepRecord:
    samples, notes = load_samples(record.storage, record.finished["cell_key"].to_list())
    return dataclasses.replace(record, samples=samples, notes=(*record.notes, *notes))
