"""Reads what cells kept of their test split, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from raymm.errors import DataError
from raymm.report.sample_tests import Samples
from raymm.storage.address import without_credentials
from raymm.training.samples import read_samples

READERS = 16
"""Files read at a time: from a store far away most of the time is waiting."""


def load_samples(storage: str | None, keys: Sequence[str]) -> tuple[Samples, tuple[str, ...]]:
    """What the cells kept, by key, and sentences on what could not be read.

    Args:
        storage: root of the cells' folders; None if it is not known.
        keys: of finished cells.
    """
    if storage is None or not keys:
        return {}, ()
    notes: list[str] = []

    def read(key: str) -> pd.DataFrame | None:
        try:
            return read_samples(f"{storage}/{key}")
        except DataError as error:
            notes.append(str(error))
        except (OSError, ImportError) as error:
            notes.append(f"What cell {key} kept of its samples cannot be read: {error}.")
        return None

    with ThreadPoolExecutor(READERS) as pool:
        found = dict(zip(keys, pool.map(read, keys), strict=True))
    samples = {key: frame for key, frame in found.items() if frame is not None}
    absent = len(keys) - len(samples) - len(notes)
    if absent:
        notes.append(
            f"{absent} of {len(keys)} finished cells have no samples in {storage}: they were "
            "trained by an earlier version, or elsewhere. What needs single samples leaves them out."
        )
    # Addresses may have passwords in them, and reports may be published.
    return samples, tuple(map(without_credentials, notes[:5]))
