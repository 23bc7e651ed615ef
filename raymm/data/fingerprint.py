"""The fingerprint of a data set: what it holds, whatever the order or format of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label, Modality


def fingerprint(ids: NDArray[np.str_], modalities: Sequence[Modality], label: Label | None) -> str:
    """SHA-256 over ids, modalities in order (name, kind, columns, values) and label, in hex."""
    digest = hashlib.sha256()

    def words(*texts: str) -> None:
        digest.update(repr(texts).encode())

    def numbers(values: NDArray[np.float32] | NDArray[np.int64]) -> None:
        if values.dtype == np.float32:
            # One bit pattern for every NaN, and one for the two zeros.
            values = np.where(np.isnan(values), np.float32(np.nan), values) + np.float32(0)
        plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        words(str(plain.dtype), str(plain.shape))
        digest.update(plain.data)

    words("ids", *ids.tolist())
    for modality in modalities:
        words("modality", modality.name, modality.kind, *modality.columns)
        numbers(modality.rows)
        numbers(modality.values)
        if modality.offsets is not None:
            numbers(modality.offsets)
    if label is not None:
        words("label", label.name, label.task, *label.classes)
        numbers(label.values)
    return digest.hexdigest()
