"""A data set: modalities with holes, keyed by sample id. Everything a source returns.

Rows exist only for samples that have the modality; a sample without it simply has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from raymm.data.mapped import MappedFile

Kind = Literal["table", "sequence"]
Task = Literal["classification", "regression"]
Made = TypeVar("Made")

PART_ELEMENTS = 2**20
"""Values looked at together where all of a modality are: 4 MiB."""


@dataclass(frozen=True)
class ModalitySpec:
    """What a model must know of a modality to build its parameters.

    Attributes:
        width: columns of a table, components of a sequence's vectors.
        max_length: most tokens a sample has: the columns of a table, the longest sequence.
        has_missing: whether any present row of a table lacks a value.
        raw: what an encoder takes (pixels, token ids), not features.
    """

    name: str
    kind: Kind
    width: int
    max_length: int
    has_missing: bool = False
    raw: bool = False


@dataclass(frozen=True)
class Modality:
    """One source of a data set: a table of features, or a sequence of vectors.

    Attributes:
        name: as the user named it.
        kind: "table" (one row of numbers a sample) or "sequence" (some vectors a sample).
        rows: (n,) sample index of each present row, ascending.
        values: (n, columns) for a table, (total vectors, width) for a sequence, float32;
            NaN is a value missing inside a present row. Of any type and further dimensions if raw.
        offsets: (n + 1,) first vector of each row of a sequence; None for a table.
        columns: names of the columns, or of the vectors' components.
        missing: whether any value is NaN, where that is known without looking.
        mapping: the file that the values lie in, if they are mapped and not held in memory.
        raw: the values are what an encoder takes, such as (n, 3, height, width) uint8 pixels of a
            table or (total, 1) int64 token ids of a sequence. They reach the model as they are.

    Arrays may be read-only: they are shared by processes, or lie in a file.
    """

    name: str
    kind: Kind
    rows: NDArray[np.int64]
    values: NDArray[Any]
    offsets: NDArray[np.int64] | None
    columns: tuple[str, ...]
    missing: bool | None = None
    mapping: MappedFile | None = None
    raw: bool = False

    @property
    def width(self) -> int:
        """Columns of a table, components of a sequence's vectors."""
        return int(self.values.shape[1])

    @cached_property
    def has_missing(self) -> bool:
        """Whether any value is NaN."""
        if self.missing is not None or self.raw:
            return bool(self.missing)
        return any(bool(np.isnan(part).any()) for part in self.parts())

    def parts(self) -> Iterator[NDArray[np.float32]]:
        """All values in order, a few at a time: (vectors, width) views."""
        step = max(1, PART_ELEMENTS // max(1, self.width))
        for start in range(0, len(self.values), step):
            part = self.values[start : start + step]
            yield part
            self._count(part)

    def parts_of(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """The values of some rows in order, a few rows at a time: (vectors, width) copies.

        Args:
            rows: (n,) places in `self.rows`, ascending.
        """
        lengths = np.ones(len(rows), np.int64)
        if self.offsets is not None:
            lengths = self.offsets[rows + 1] - self.offsets[rows]
        number = np.cumsum(lengths * self.width) // PART_ELEMENTS
        cuts = np.flatnonzero(np.diff(number)) + 1
        for chosen in np.split(np.arange(len(rows)), cuts):
            index = rows[chosen]
            if self.offsets is not None:
                index = spans(self.offsets[index], lengths[chosen])
            part = self.values.take(index, axis=0)
            yield part
            self._count(part)

    def _count(self, part: NDArray[np.float32]) -> None:
        if self.mapping is not None:
            self.mapping.count(part.nbytes)


def spans(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Consecutive numbers from each start: starts [5, 0] and lengths [2, 3] give [5, 6, 0, 1, 2]."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    index: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return index


@dataclass(frozen=True)
class Label:
    """What the probes predict.

    Attributes:
        values: (samples,) class codes as int64 (-1: unlabelled), or float32 targets
            (NaN: unlabelled).
        classes: class names in code order; empty for regression.
    """

    name: str
    task: Task
    values: NDArray[np.int64] | NDArray[np.float32]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Samples, their modalities and a label.

    Attributes:
        ids: (samples,) sample ids as strings, unique, in ascending order.
        fingerprint: hash of the ids, the modalities in use with their values, and the label.
        licence: under which the data may be used; empty if nobody said.
    """

    name: str
    ids: NDArray[np.str_]
    modalities: tuple[Modality, ...]
    label: Label | None
    fingerprint: str
    licence: str = ""
    _memo: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memo": {}}

    def remembered(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What follows from the data set alone, made once: the cells of a sweep share it.

        Args:
            key: what it is, with all that it depends on besides this data set.
            make: makes it; the result is never changed.
        """
        if key not in self._memo:
            self._memo[key] = make()
        made: Made = self._memo[key]
        return made

    def presence(self) -> NDArray[np.bool_]:
        """Which sample has which modality, (samples, modalities)."""
        present = np.zeros((len(self.ids), len(self.modalities)), dtype=np.bool_)
        for column, modality in enumerate(self.modalities):
            present[modality.rows, column] = True
        return present
