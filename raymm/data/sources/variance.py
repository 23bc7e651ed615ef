"""Variance of the columns or rows of a table that is seen once, in parts, and the most variable ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spread:
    """What is known of some features' values: NaN is no value.

    Attributes:
        count: (features,) values.
        mean: (features,) of the values; 0 without any.
        squares: (features,) sum of squared distances from the mean.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @staticmethod
    def of(values: NDArray[np.float64]) -> Spread:
        """Of the columns of (rows, features): the mean first, then distances from it."""
        present = ~np.isnan(values)
        count = present.sum(axis=0)
        mean = np.where(present, values, 0).sum(axis=0) / np.maximum(count, 1)
        apart = np.where(present, values - mean, 0)
        return Spread(count, mean, (apart * apart).sum(axis=0))

    def with_more(self, other: Spread) -> Spread:
        """Of both together, without loss where the mean is far larger than the spread.

        Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances (1979), eq. 2.1.
        """
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        apart = other.mean - self.mean
        mean = self.mean + apart * share
        return Spread(count, mean, self.squares + other.squares + apart**2 * self.count * share)

    def variance(self) -> NDArray[np.float64]:
        """(features,) with n - 1 in the denominator; 0 for fewer than two values."""
        variance: NDArray[np.float64] = self.squares / np.maximum(self.count - 1, 1)
        return variance


@dataclass
class MostVariable:
    """The features of largest variance, and their values, of all that go by one by one.

    Whatever number goes by, no more than twice `keep` rows are held. Features of equal variance go
    by name; of several with one name the most variable counts.

    Attributes:
        keep: features to keep; None for all.
        samples: values of each.
    """

    keep: int | None
    samples: int
    names: list[str] = field(default_factory=list)
    repeated: int = 0
    """Features whose name another one has."""
    _variance: list[float] = field(default_factory=list)
    _values: list[NDArray[np.float32]] = field(default_factory=list)
    _least: float = -1.0

    def add(self, names: list[str], values: NDArray[np.float64]) -> None:
        """Take up features.

        Args:
            names: of the features.
            values: (features, samples); NaN is missing.
        """
        variance = Spread.of(values.T).variance()
        for row in np.flatnonzero(variance >= self._least):
            self.names.append(names[row])
            self._variance.append(float(variance[row]))
            self._values.append(values[row].astype(np.float32))
        if self.keep is not None and len(self.names) >= 2 * self.keep:
            self._prune()

    def finish(self) -> tuple[list[str], NDArray[np.float32]]:
        """Names, ascending, and their (samples, features) values."""
        self._prune()
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        table = np.empty((self.samples, len(order)), np.float32)
        for column, row in enumerate(order):
            table[:, column] = self._values[row]
        return [self.names[row] for row in order], table

    def _prune(self) -> None:
        order = sorted(
            range(len(self.names)), key=lambda row: (-self._variance[row], self.names[row])
        )
        first: dict[str, int] = {}
        for row in order:
            first.setdefault(self.names[row], row)
        self.repeated += len(order) - len(first)
        chosen = list(first.values())[: self.keep]
        if self.keep is not None and len(chosen) == self.keep:
            self._least = self._variance[chosen[-1]]
        self.names = [self.names[row] for row in chosen]
        self._variance = [self._variance[row] for row in chosen]
        self._values = [self._values[row] for row in chosen]
