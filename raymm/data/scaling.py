"""Standardisation: fitted once a cell, applied to what a batch holds and to nothing else.

Shapes: w columns of a table or components of a sequence's vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.data.dataset import Modality

CONSTANT = 1e-12
"""A deviation this small beside the mean is rounding: a constant column has about 1e-16 of it."""


@dataclass(frozen=True)
class Scaling:
    """Values to units of the train split's deviation: (value - shift) x factor + bias.

    The shift is the mean in float32, which loses digits where a column lies far from 0; the bias
    gives them back.

    Attributes:
        shift, factor, bias: (w,) float32. A column of which nothing is known has factor 0, and its
            bias is what stands for a missing value: NaN in a table, 0 in a sequence.
    """

    shift: Tensor
    factor: Tensor
    bias: Tensor

    def apply_(self, values: Tensor) -> Tensor:
        """Scale (..., w) values in place."""
        return torch.addcmul(self.bias, values.sub_(self.shift), self.factor, out=values)


def fit(modality: Modality, rows: NDArray[np.int64]) -> Scaling:
    """Scaling that gives the values of some rows mean 0 and deviation 1, column by column.

    A constant column becomes 0. Missing values do not count. Values are read a few rows at a time;
    the moments of the parts are joined as in Chan, Golub & LeVeque (1983).

    Args:
        modality: as loaded.
        rows: (n,) places in `modality.rows`, ascending.
    """
    count, mean, squares = (np.zeros(modality.width) for _ in range(3))
    for part in modality.parts_of(rows):
        known, center, off = _moments(part)
        total = np.maximum(count + known, 1)
        distance = center - mean
        mean = mean + distance * known / total
        squares = squares + off + distance**2 * count * known / total
        count = count + known
    deviation = np.sqrt(squares / np.maximum(count, 1))
    divisor = np.where(deviation <= CONSTANT * np.abs(mean), 1, deviation)
    shift = mean.astype(np.float32)
    bias = (shift - mean) / divisor
    unseen = count == 0
    bias[unseen] = np.nan if modality.kind == "table" else 0
    factor = np.where(unseen, 0, 1 / divisor)
    return Scaling(
        torch.from_numpy(shift),
        torch.from_numpy(np.minimum(factor, np.finfo(np.float32).max).astype(np.float32)),
        torch.from_numpy(bias.astype(np.float32)),
    )


def _moments(
    part: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Number, mean and sum of squared distances from it, of the values known in each column."""
    values = part.astype(np.float64)
    missing = np.isnan(part)
    known = len(part) - missing.sum(axis=0, dtype=np.float64)
    values[missing] = 0
    mean = values.sum(axis=0) / np.maximum(known, 1)
    values -= mean
    values[missing] = 0
    return known, mean, np.einsum("ij,ij->j", values, values)
