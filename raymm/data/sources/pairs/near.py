"""Pairs of captions that mean about the same, found by the cosine of a sentence encoder's vectors.

CBMF trains on such pairs of COCO's captions, with a cosine above 0.7. Block after block of captions
is held against the others, so memory stays at two blocks and the pairs kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raymm.data.sources.pairs.build import Column, build, text_names
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import ConfigError, DataError

THRESHOLD = 0.7
BLOCK = 2048


def near_pairs(
    vectors: NDArray[np.float32],
    *,
    threshold: float = THRESHOLD,
    per_row: int = 1,
    block: int = BLOCK,
    progress: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.int64]:
    """Pairs of rows whose cosine is above a threshold, (pairs, 2), the lower row first, ascending.

    Args:
        vectors: (n, width), not zero.
        threshold: cosine that a pair exceeds.
        per_row: each row's nearest this many are kept; rows that were found from both sides, once.
        block: rows held against as many others at a time.
        progress: told how many rows are done with.

    Raises:
        ConfigError: the threshold or a count is out of range.
    """
    if not -1 <= threshold < 1 or per_row < 1 or block < 1:
        raise ConfigError(
            f"threshold = {threshold}, per_row = {per_row}, block = {block}: give a threshold in "
            "[-1, 1), and counts of 1 or more."
        )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(unit)
    best = np.full((count, per_row), threshold, dtype=np.float32)
    found = np.full((count, per_row), -1, dtype=np.int64)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        for other in range(start, count, block):
            columns = slice(other, min(other + block, count))
            cosine = unit[rows] @ unit[columns].T
            if other == start:
                np.fill_diagonal(cosine, -np.inf)
            cosine[cosine <= threshold] = -np.inf
            _keep(best[rows], found[rows], cosine, other)
            if other > start:
                _keep(best[columns], found[columns], cosine.T, start)
        progress(rows.stop)
    first, place = np.nonzero(found >= 0)
    second = found[first, place]
    both = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)
    return np.unique(both, axis=0)


def _keep(
    best: NDArray[np.float32],
    found: NDArray[np.int64],
    cosine: NDArray[np.float32],
    start: int,
) -> None:
    """Take up what is better than the worst of each row's best; both are changed where they are."""
    kept = best.shape[1]
    rows = np.flatnonzero(cosine.max(axis=1) > best.min(axis=1))
    if not len(rows):
        return
    scores = np.concatenate([best[rows], cosine[rows]], axis=1)
    places = np.broadcast_to(
        np.arange(start, start + cosine.shape[1]), (len(rows), cosine.shape[1])
    )
    numbers = np.concatenate([found[rows], places], axis=1)
    top = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
    best[rows] = np.take_along_axis(scores, top, axis=1)
    found[rows] = np.take_along_axis(numbers, top, axis=1)


def caption_pairs(
    captions: Pairs, vectors: NDArray[np.float32], *, text: str = "text",
    threshold: float = THRESHOLD, per_caption: int = 1,
    progress: Callable[[int], None] = lambda rows: None,
) -> Pairs:  # fmt: skip
    """Text-text pairs from a set of captions.

    Args:
        captions: any set with texts.
        vectors: (texts, width) a sentence encoder's, of each text in order.
        text: modality of the texts.
        threshold: cosine that a pair exceeds.
        per_caption: see `near_pairs`.
        progress: told how many captions are done with.

    Raises:
        DataError: vectors and texts differ in number, or no pair is near enough.
    """
    items = captions.of(text)
    if len(items.values) != len(vectors):
        raise DataError(
            f"{captions.name} has {len(items.values):,} texts, but {len(vectors):,} vectors came with "
            "them. Embed the same texts."
        )
    pairs = near_pairs(vectors, threshold=threshold, per_row=per_caption, progress=progress)
    if not len(pairs):
        raise DataError(
            f"{captions.name}: no two captions have a cosine above {threshold}. Lower the threshold."
        )
    ids = captions.ids[items.rows]
    names = text_names(2)
    return build(
        f"{captions.name} pairs",
        [_joined(ids[first], ids[second]) for first, second in pairs.tolist()],
        {name: Column("text", [items.values[int(row)] for row in pairs[:, side]])
         for side, name in enumerate(names)},
        groups=[str(ids[first]).split("#")[0] for first in pairs[:, 0]],
        licence=captions.licence,
    )  # fmt: skip


def _joined(first: str, second: str) -> str:
    """Id of a pair: it begins with the first caption's group, so that it falls into its split."""
    group, _, number = str(first).partition("#")
    return f"{group}#{number}~{str(second).replace('#', '.')}"
