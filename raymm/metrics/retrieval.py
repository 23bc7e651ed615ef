"""Ranks of matching embeddings among all, and what is read off them (SMDF 5.2).

Shapes: n queries, N gallery rows, d components.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from raymm.errors import TrainingError
from raymm.metrics.geometry import unit

BLOCK_ELEMENTS = 2**24
"""Cosines held at a time: 128 MiB in float64, whatever the number of queries."""


def ranks(
    queries: Tensor, gallery: Tensor, targets: Tensor, *, block_elements: int = BLOCK_ELEMENTS
) -> Tensor:
    """Rank of each query's target by cosine among all gallery rows; 1 is best.

    A target that ties with others has the mean of the ranks they share (as `scipy.stats.rankdata`
    does), so a collapsed model, whose embeddings are all the same, stands at chance and not at 1.

    Cosines are computed in float64 and compared in float32. A matrix product sums in an order that
    may depend on where a row stands, so equal rows can differ in the last bit; rounding to float32
    makes them tie again. The target's own cosine is read from the same product.

    Args:
        queries: (n, d) embeddings, any floating dtype.
        gallery: (N, d) embeddings.
        targets: (n,) int64, the gallery row that belongs to each query.
        block_elements: most cosines computed at a time.

    Returns:
        (n,) float64, from 1 to N in steps of a half.

    Raises:
        TrainingError: an embedding is not finite, so that it has no rank.
    """
    _require_finite(queries, "query")
    _require_finite(gallery, "gallery")
    columns = unit(gallery).T
    block = max(1, block_elements // max(1, len(gallery)))
    result = torch.empty(len(queries), dtype=torch.float64, device=queries.device)
    for start in range(0, len(queries), block):
        part = slice(start, start + block)
        cosines = (unit(queries[part]) @ columns).to(torch.float32)
        own = cosines.gather(1, targets[part, None])
        higher = (cosines > own).sum(dim=1)
        equal = (cosines == own).sum(dim=1)
        result[part] = higher + (equal + 1) / 2
    return result


def median_rank(ranks: Tensor) -> float:
    """Median of (n,) ranks, the mean of the middle two where n is even; nan if there are none."""
    return math.nan if len(ranks) == 0 else float(np.median(ranks.cpu().numpy()))


def recall_at(ranks: Tensor, k: int) -> float:
    """Share of (n,) ranks that are k or better; nan if there are none."""
    return math.nan if len(ranks) == 0 else float((ranks <= k).double().mean().item())


def _require_finite(x: Tensor, what: str) -> None:
    finite = x.isfinite().all(dim=1)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise TrainingError(
            f"{bad} of {len(x)} {what} embeddings are not finite, so they cannot be ranked. "
            "Lower the learning rate, or train in fp32."
        )
