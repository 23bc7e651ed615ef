"""Sequences of different lengths to dense blocks, at most a tenth of each block padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def like_lengths(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut rows into groups of like length, from the longest down.

    Each group is as large as it may be while at most a tenth of its tokens are padding: with rows
    in descending order, `sum of lengths >= 0.9 x longest x rows`, in whole numbers.

    Args:
        lengths: (n,) tokens of each row, 1 or more.

    Yields:
        (rows,) indices into `lengths`, longest row first; every row is in one group.
    """
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths = lengths[order]
    start = 0
    while start < len(order):
        rest = sorted_lengths[start:]
        # The mean of a descending row only falls, so the groups that fit are a prefix.
        fits = 10 * np.cumsum(rest) >= 9 * rest[0] * np.arange(1, len(rest) + 1)
        size = int(np.count_nonzero(fits))
        yield order[start : start + size]
        start += size


def padded_index(
    starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each token of a dense block lies in the flat storage, and which tokens are padding.

    Args:
        starts: (n,) first vector of each row.
        lengths: (n,) vectors of each row, 1 or more.

    Returns:
        (n, L) index and (n, L) bool, L the longest; padding points at its row's last vector.
    """
    step = np.arange(lengths.max())[None, :]
    index = starts[:, None] + np.minimum(step, lengths[:, None] - 1)
    return index, step >= lengths[:, None]
