"""Uniformity and alignment of embeddings on the unit sphere (SMDF eq. 2 and 3; Wang & Isola 2020).

Shapes: n embeddings, d components.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1024
"""Rows of a block: 4 MiB of float32 distances at a time, whatever n is."""
PART = 8192
"""Rows of which a float64 copy is made at a time."""
EXACT_ROWS = 4096
"""Up to this many rows pairs are computed in float64; of more, the mean is not sensitive to it."""


def uniformity(x: Tensor, *, block: int = BLOCK, exact_rows: int = EXACT_ROWS) -> float:
    """How evenly embeddings cover the sphere; lower is better.

    The log of the mean of `exp(-2 |x_i - x_j|^2)` over the pairs i < j of the L2-normalised rows.
    SMDF's eq. 3 leaves the log out; Wang & Isola and SMDF's published code have it. Equal rows give
    0, the highest value. Pairs are taken in blocks of the upper triangle: memory is linear in n.

    Args:
        x: (n, d) embeddings, any floating dtype.
        block: rows in a block.
        exact_rows: most rows for which pairs are computed in float64. Beyond, they are in float32
            and their sum in float64: a squared distance is off by some 1e-7, the uniformity by less
            than 1e-6.

    Returns:
        The uniformity; nan if there are fewer than two rows.
    """
    count = len(x)
    if count < 2:
        return math.nan
    left, right = _pair_factors(x, torch.float64 if count <= exact_rows else torch.float32)
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for top in range(0, count, block):
        rows = left[top : top + block]
        for start in range(top, count, block):
            kernel = (rows @ right[start : start + block].T).clamp_max_(0).exp_()
            if start == top:
                kernel.triu_(diagonal=1)
            total += kernel.sum(dim=1).to(torch.float64).sum()
    return math.log(total.item() / (count * (count - 1) / 2))


def _pair_factors(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two (n, d + 2) matrices whose product is `-2 |x_i - x_j|^2 = 4 x.y - 2 |x|^2 - 2 |y|^2`."""
    left = x.new_ones((len(x), x.shape[1] + 2), dtype=dtype)
    right = torch.ones_like(left)
    for part in _parts(len(x)):
        points = unit(x[part])
        squares = -2 * points.square().sum(dim=1)
        left[part, :-2] = right[part, :-2] = 2 * points
        left[part, -2] = right[part, -1] = squares
    return left, right


def alignment(x: Tensor, y: Tensor) -> float:
    """Mean squared distance of the L2-normalised pairs `(x_i, y_i)` (SMDF eq. 2); lower is better.

    Args:
        x: (n, d) embeddings of one kind.
        y: (n, d) embeddings of the same samples of another kind.

    Returns:
        The alignment, in [0, 4]; nan if there are no pairs.
    """
    if len(x) == 0:
        return math.nan
    terms = [(unit(x[part]) - unit(y[part])).square().sum() for part in _parts(len(x))]
    return float(torch.stack(terms).sum().item()) / len(x)


def unit(x: Tensor) -> Tensor:
    """L2-normalised rows of (n, d) in float64, without gradient; a row of zeros stays zero.

    In float64 because |x|^2 + |y|^2 - 2 x.y cancels for near neighbours, which are what uniformity
    weighs most.
    """
    return torch.nn.functional.normalize(x.detach().to(torch.float64), dim=1)


def unit_singles(x: Tensor) -> Tensor:
    """The same rounded to float32, without a copy of the whole in float64."""
    result = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    for part in _parts(len(x)):
        result[part] = unit(x[part])
    return result


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + PART) for start in range(0, count, PART))
