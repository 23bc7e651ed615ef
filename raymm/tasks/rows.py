"""Rows of a modality: some of them, or one vector for each.

Shapes: n rows, w components.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Modality, spans

Vectors = NDArray[np.float32]


def pooled(modality: Modality) -> Vectors:
    """One vector for each row, (rows, w): a table's own, the mean of a sequence's tokens."""
    if modality.offsets is None:
        return modality.values
    lengths = np.diff(modality.offsets)[:, None]
    sums = np.add.reduceat(modality.values, modality.offsets[:-1], axis=0, dtype=np.float64)
    found: Vectors = (sums / lengths).astype(np.float32)
    return found


def rows_of(modality: Modality, rows: NDArray[np.int64]) -> Modality:
    """Some rows of a modality, copied, as those of samples 0, 1, ..."""
    samples = np.arange(len(rows), dtype=np.int64)
    if modality.offsets is None:
        return replace(modality, rows=samples, values=modality.values[rows], mapping=None)
    lengths = modality.offsets[rows + 1] - modality.offsets[rows]
    values = modality.values[spans(modality.offsets[rows], lengths)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(modality, rows=samples, values=values, offsets=offsets, mapping=None)
