"""Retrieval where a query may have several matches: an image and its captions (CBMF, figure 4).

Shapes: n queries, N gallery rows, d components.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.errors import DataError
from raymm.metrics.geometry import unit
from raymm.metrics.retrieval import ranks, recall_at

RECALLS: Final = (1, 5, 10)
HIT_RATES: Final = tuple(range(100, 10_001, 100))
"""The k of figure 4, whose "precision" at k is the share of queries with a match among the first k."""
PART = 65_536
"""Pairs of a query and a match compared at a time."""


def match_ranks(
    queries: Tensor,
    gallery: Tensor,
    query_groups: NDArray[np.int64],
    gallery_groups: NDArray[np.int64],
) -> Tensor:
    """Rank of each query's best match by cosine; a match is a gallery row of the query's group.

    A row of another group that ties with the match counts as half before it, as in `ranks`; other
    matches of the same query do not count. 1 is best.

    Args:
        queries: (n, d) embeddings.
        gallery: (N, d) embeddings.
        query_groups: (n,) group of each query.
        gallery_groups: (N,) group of each gallery row.

    Returns:
        (n,) float64.

    Raises:
        DataError: a query has no match.
        TrainingError: an embedding is not finite.
    """
    order = np.argsort(gallery_groups, kind="stable")
    first = np.searchsorted(gallery_groups[order], query_groups, side="left")
    last = np.searchsorted(gallery_groups[order], query_groups, side="right")
    counts = last - first
    lacking = np.flatnonzero(counts == 0)
    if len(lacking):
        raise DataError(
            f"{len(lacking):,} of {len(counts):,} queries have no match in the gallery (the first is "
            f"query {lacking[0]}, of group {query_groups[lacking[0]]}). Leave them out."
        )
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    query = np.repeat(np.arange(len(counts)), counts)
    match = order[np.arange(len(query)) - np.repeat(starts - first, counts)]
    cosine = _cosines(queries, gallery, query, match)
    best = np.maximum.reduceat(cosine, starts) if len(starts) else cosine
    tied = cosine == np.repeat(best, counts)
    own = np.add.reduceat(tied.astype(np.float64), starts) if len(starts) else cosine
    leading = np.flatnonzero(tied)
    chosen = leading[np.searchsorted(leading, starts)]
    positions = ranks(queries, gallery, torch.from_numpy(match[chosen]))
    return positions - torch.from_numpy((own - 1) / 2)


def _cosines(
    queries: Tensor, gallery: Tensor, query: NDArray[np.int64], match: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Cosine of each pair, rounded to float32 as `ranks` compares them."""
    found = np.empty(len(query), dtype=np.float32)
    for start in range(0, len(query), PART):
        part = slice(start, start + PART)
        one, two = unit(queries[query[part]]), unit(gallery[match[part]])
        found[part] = (one * two).sum(dim=1).to(torch.float32).numpy()
    return found


def matching_metrics(positions: Tensor, gallery_size: int, direction: str) -> dict[str, float]:
    """Recall at 1, 5 and 10 of (n,) ranks, and the median rank.

    Returns:
        "retrieval/<direction>_recall_at_1" (also 5 and 10), "retrieval/<direction>_median_rank" and
        "retrieval/<direction>_gallery".
    """
    metrics = {f"retrieval/{direction}_recall_at_{k}": recall_at(positions, k) for k in RECALLS}
    metrics[f"retrieval/{direction}_median_rank"] = float(np.median(positions.numpy()))
    metrics[f"retrieval/{direction}_gallery"] = float(gallery_size)
    return metrics


def hit_rates(positions: Tensor, gallery_size: int) -> dict[int, float]:
    """Share of (n,) ranks that are k or better, for each k of figure 4 that the gallery holds.

    A k of the whole gallery or more is always 1 and left out.
    """
    return {k: recall_at(positions, k) for k in HIT_RATES if k < gallery_size}
