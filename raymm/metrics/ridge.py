"""Ridge regression from one encoder's vectors to another's: what any learned alignment has to beat.

Shapes: n samples, a and b components of the two encoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.errors import DataError
from raymm.metrics.arrays import as_tensor
from raymm.metrics.retrieval import ranks

Floats = NDArray[np.float64]
PENALTIES: Final = tuple(10.0**power for power in range(-4, 3))
"""Tried, as multiples of the mean eigenvalue of the inputs' covariance."""


@dataclass(frozen=True)
class LinearMap:
    """`(unit(x) - centre) @ weights + offset`.

    Attributes:
        centre: (a,) mean of the normalised inputs.
        weights: (a, b).
        offset: (b,) mean of the normalised targets.
        penalty: the L2 penalty it was fitted with.
    """

    centre: Floats
    weights: Floats
    offset: Floats
    penalty: float

    def __call__(self, x: NDArray[np.floating]) -> Floats:
        """(n, a) vectors -> (n, b)."""
        mapped: Floats = (_unit(x) - self.centre) @ self.weights + self.offset
        return mapped


def fit_maps(x: NDArray[np.floating], y: NDArray[np.floating]) -> Iterator[LinearMap]:
    """A map for each of `PENALTIES`, from one decomposition: argmin of |y - xW|^2 + p |W|^2.

    Vectors are L2-normalised first, as cosines will compare them.

    Args:
        x: (n, a) inputs.
        y: (n, b) targets.

    Raises:
        DataError: there is nothing to fit.
    """
    if len(x) < 2:
        raise DataError(
            f"Ridge regression needs two samples or more to be fitted to, not {len(x)}."
        )
    inputs, targets = _unit(x), _unit(y)
    centre, offset = inputs.mean(axis=0), targets.mean(axis=0)
    inputs, targets = inputs - centre, targets - offset
    values, vectors = np.linalg.eigh(inputs.T @ inputs)
    rotated = vectors.T @ (inputs.T @ targets)
    typical = float(values.clip(min=0).mean())
    for multiple in PENALTIES:
        penalty = multiple * typical
        weights = vectors @ (rotated / (values + penalty)[:, None])
        yield LinearMap(centre, weights, offset, penalty)


@dataclass(frozen=True)
class Alignment:
    """Two encoders made comparable by a map of one side.

    Attributes:
        map: of the queries if `of_queries`, else of the gallery.
    """

    map: LinearMap
    of_queries: bool

    def queries(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Vectors of queries as they are compared."""
        return self.map(x) if self.of_queries else x

    def gallery(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        """Vectors of the gallery as they are compared."""
        return y if self.of_queries else self.map(y)


def align(
    train: tuple[NDArray[np.floating], NDArray[np.floating]],
    validation: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> Alignment:
    """The ridge regression with the best mean reciprocal rank on validation pairs.

    Which side is mapped is chosen too: to map the gallery to the queries' space often retrieves
    better, since fewer rows become neighbours of everything (Shigeto et al., 2015).

    Args:
        train: (n, a) queries and (n, b) their matches.
        validation: other pairs, among which matches are ranked.
    """
    best, best_score = None, -1.0
    for of_queries in (True, False):
        pair = train if of_queries else (train[1], train[0])
        for candidate in fit_maps(*pair):
            alignment = Alignment(candidate, of_queries)
            queries, gallery = (
                as_tensor(side)
                for side in (alignment.queries(validation[0]), alignment.gallery(validation[1]))
            )
            positions = ranks(queries, gallery, torch.arange(len(queries)))
            score = float((1 / positions).mean())
            if score > best_score:
                best, best_score = alignment, score
    assert best is not None  # PENALTIES is not empty
    return best


def _unit(x: NDArray[np.floating]) -> Floats:
    wide = np.asarray(x, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    found: Floats = wide / np.where(length > 0, length, 1)
    return found
