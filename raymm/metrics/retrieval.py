"""Ranks of matching embeddings among all, and what is read off them (SMDF 5.2).

Shapes: n queries, N gallery rows, d components.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from raymm.errors import TrainingError
from raymm.metrics.geometry import unit, unit_singles

BLOCK_ELEMENTS = 2**20
"""Cosines held at a time: 4 MiB in float32, which stay in a core's cache while they are compared."""


def ranks(
    queries: Tensor, gallery: Tensor, targets: Tensor, *, block_elements: int = BLOCK_ELEMENTS
) -> Tensor:
    """Rank of each query's target by cosine among all gallery rows; 1 is best.

    A target that ties with others has the mean of the ranks they share (as `scipy.stats.rankdata`
    does), so a collapsed model, whose embeddings are all the same, stands at chance and not at 1.

    What counts are cosines computed in float64 and compared in float32. A matrix product sums in an
    order that may depend on where a row stands, so equal rows can differ in the last bit; rounding
    to float32 makes them tie again. Most cosines are far from the target's, though, so all are
    computed in float32 first, and only where one comes nearer than its rounding error are those of
    that query and block computed again: the ranks are the same, in a fraction of the time.

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
    across = max(1, min(len(gallery), math.isqrt(block_elements)))
    down = max(1, block_elements // across)
    rough = unit_singles(gallery)
    result = torch.empty(len(queries), dtype=torch.float64, device=queries.device)
    for start in range(0, len(queries), down):
        part = slice(start, start + down)
        own = (unit(queries[part]) * unit(gallery[targets[part]])).sum(dim=1, keepdim=True)
        block = _Block(queries[part], own)
        for left in range(0, len(gallery), across):
            block.compare(gallery, rough, slice(left, left + across))
        result[part] = block.higher + (block.equal + 1) / 2
    return result


class _Block:
    """Some queries on their way through the gallery.

    Attributes:
        higher, equal: (b,) float64, gallery rows so far whose cosine is above the target's, or
            ties with it; the target itself is one of the latter.
    """

    def __init__(self, queries: Tensor, own: Tensor) -> None:
        """Begin.

        Args:
            queries: (b, d) embeddings.
            own: (b, 1) float64 cosine of each query and its target.
        """
        self._queries, self._rough = queries, unit_singles(queries)
        self._own = own.to(torch.float32)
        # Rounding errors of d products and sums add up as sqrt(d), not as d (Higham & Mary 2019):
        # 8 units of it, and as many for unit vectors and comparison, are never seen exceeded.
        slack = 8 * (math.sqrt(queries.shape[1]) + 1) * 2.0**-24
        self._above, self._below = self._own + slack, self._own - slack
        self.higher, self.equal = torch.zeros(2, len(queries), dtype=torch.float64).to(own.device)

    def compare(self, gallery: Tensor, rough: Tensor, part: slice) -> None:
        """Count over some rows of the gallery, of which `rough` are the unit vectors in float32."""
        cosines = self._rough @ rough[part].T
        # Written as 0 and 1 in float32, which are many times faster to add up than booleans.
        ones = torch.empty_like(cosines)
        above = torch.gt(cosines, self._above, out=ones).sum(dim=1)
        close = torch.ge(cosines, self._below, out=ones).sum(dim=1) > above
        self.higher += torch.where(close, 0, above)
        unsure = close.nonzero()[:, 0]
        if len(unsure):
            exact = (unit(self._queries[unsure]) @ unit(gallery[part]).T).to(torch.float32)
            own = self._own[unsure]
            self.higher[unsure] += (exact > own).sum(dim=1)
            self.equal[unsure] += (exact == own).sum(dim=1)


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
