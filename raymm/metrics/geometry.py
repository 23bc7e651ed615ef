"""Uniformity and alignment of embeddings on the unit sphere (SMDF eq. 2 and 3; Wang & Isola 2020).

Shapes: n embeddings, d components.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 2048
"""Rows of a block: 32 MiB of float64 distances at a time, whatever n is."""


def uniformity(x: Tensor, *, block: int = BLOCK) -> float:
    """How evenly embeddings cover the sphere; lower is better.

    The log of the mean of `exp(-2 |x_i - x_j|^2)` over the pairs i < j of the L2-normalised rows.
    SMDF's eq. 3 leaves the log out; Wang & Isola and SMDF's published code have it. Equal rows give
    0, the highest value. Pairs are taken in blocks of the upper triangle: memory is linear in n.

    Args:
        x: (n, d) embeddings, any floating dtype.
        block: rows in a block.

    Returns:
        The uniformity; nan if there are fewer than two rows.
    """
    count = len(x)
    if count < 2:
        return math.nan
    points = unit(x)
    squares = points.square().sum(dim=1)
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for top in range(0, count, block):
        rows, row_squares = points[top : top + block], squares[top : top + block, None]
        for left in range(top, count, block):
            columns, column_squares = points[left : left + block], squares[left : left + block]
            distances = (row_squares + column_squares - 2 * (rows @ columns.T)).clamp_min_(0)
            kernel = distances.mul_(-2).exp_()
            total += kernel.triu_(diagonal=1).sum() if left == top else kernel.sum()
    return math.log(total.item() / (count * (count - 1) / 2))


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
    return float((unit(x) - unit(y)).square().sum(dim=1).mean().item())


def unit(x: Tensor) -> Tensor:
    """L2-normalised rows of (n, d) in float64, without gradient; a row of zeros stays zero.

    In float64 because |x|^2 + |y|^2 - 2 x.y cancels for near neighbours, which are what uniformity
    weighs most.
    """
    return torch.nn.functional.normalize(x.detach().to(torch.float64), dim=1)
