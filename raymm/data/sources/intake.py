"""Samples' values on their way into a packed data set: cleaned, cut to length, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Kind, Label
from raymm.data.problems import some
from raymm.data.sources.preparation import Notes
from raymm.errors import DataError

HELD_VALUES = 2**22
"""Values that are gathered before they are written: 16 MiB."""


class Writer(Protocol):
    """What takes a data set up: see `raymm.data.pack.PackWriter`."""

    def modality(self, name: str, kind: Kind, columns: Sequence[str]) -> None:
        """Begin a modality."""

    def append(
        self,
        modality: str,
        ids: Sequence[str],
        values: NDArray[np.float32],
        lengths: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Add rows of a modality, ascending by id."""

    def label(self, label: Label, ids: Sequence[str], *, default: bool = False) -> None:
        """Add a label."""


@dataclass
class Counts:
    """What was odd about a modality's values, and how much of it there was.

    Attributes:
        samples: that have it.
        values: all numbers taken in.
        nan: of them.
        infinite: infinite or too large for float32, taken as missing.
        filler: equal to the number that stands for nothing, taken as missing.
        emptied: samples without any value, taken as samples without the modality.
        zeros: samples whose values are all 0; they are kept.
        cut: sequences that were longer than the maximum.
        longest: sequence before that.
    """

    samples: int = 0
    values: int = 0
    nan: int = 0
    infinite: int = 0
    filler: int = 0
    emptied: list[str] = field(default_factory=list)
    zeros: list[str] = field(default_factory=list)
    cut: int = 0
    longest: int = 0


class Intake:
    """Takes up one modality, sample by sample."""

    def __init__(
        self,
        writer: Writer,
        name: str,
        kind: Kind,
        columns: Sequence[str],
        *,
        max_length: int | None = None,
        filler: float | None = None,
    ) -> None:
        """Make ready; the modality begins with the first sample that has it.

        Args:
            writer: where it goes.
            name: of the modality.
            kind: of the modality.
            columns: of a table, or components of a sequence's vectors.
            max_length: most vectors of a sequence; the first ones are kept.
            filler: a number that stands for a missing value.
        """
        self.name, self.kind, self.counts = name, kind, Counts()
        self._writer, self._columns, self._width = writer, tuple(columns), len(columns)
        self._max_length, self._filler = max_length, filler
        self.ids: list[str] = []
        """Samples that have it, so far."""
        self._held_ids: list[str] = []
        self._held: list[NDArray[np.float32]] = []
        self._size = 0

    def add(self, sample: str, values: NDArray[np.generic], where: str) -> None:
        """Take up one sample.

        Args:
            sample: its id; they come in ascending order.
            values: (vectors, width); one row for a table.
            where: the values stood, for messages.

        Raises:
            DataError: the width is another one than before, or the values are no numbers.
        """
        if values.dtype.kind not in "fiub" or values.ndim != 2 or values.shape[1] != self._width:
            raise DataError(
                f"{where}: '{self.name}' of '{sample}' is of type {values.dtype} and shape "
                f"{values.shape}. It should be numbers of shape (vectors, {self._width:,}), as those "
                "before it. Remove the sample or mend the file."
            )
        self.counts.longest = max(self.counts.longest, len(values))
        if self._max_length is not None and len(values) > self._max_length:
            values = values[: self._max_length]
            self.counts.cut += 1
        clean = self._clean(values)
        if np.isnan(clean).all():  # also where there is no vector at all
            self.counts.emptied.append(sample)
            return
        with np.errstate(invalid="ignore"):  # a damaged file may hold NaN of the signalling kind
            empty = not (clean != 0).any()
        if empty:
            self.counts.zeros.append(sample)
        self.counts.samples += 1
        self._held_ids.append(sample)
        self._held.append(clean)
        self._size += clean.size
        if self._size >= HELD_VALUES:
            self.flush()

    def _clean(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            clean = values.astype(np.float32)
        nan, infinite = np.isnan(clean), np.isinf(clean)
        self.counts.values += clean.size
        self.counts.nan += int(nan.sum())
        self.counts.infinite += int(infinite.sum())
        clean[infinite] = np.nan
        if self._filler is not None:
            filler = clean == np.float32(self._filler)
            self.counts.filler += int(filler.sum())
            clean[filler] = np.nan
        return clean

    def flush(self) -> None:
        """Write what is held."""
        if self._held_ids:
            if not self.ids:
                self._writer.modality(self.name, self.kind, self._columns)
            lengths = [len(part) for part in self._held]
            values = np.concatenate(self._held)
            sequence = self.kind == "sequence"
            self._writer.append(self.name, self._held_ids, values, lengths if sequence else None)
            self.ids += self._held_ids
        self._held_ids, self._held, self._size = [], [], 0

    def finish(self, notes: Notes) -> Counts:
        """Write the rest, and tell what was found."""
        self.flush()
        counts, name = self.counts, self.name
        if not counts.samples:
            notes.warn(f"{name}: no sample has a value, the modality is left out.")
            return counts
        kind = (
            f"vectors of {self._width:,}" if self.kind == "sequence" else f"{self._width:,} columns"
        )
        notes.say(f"{name}: {counts.samples:,} samples, {kind}.")
        if self._max_length is not None:
            notes.say(
                f"{name}: {counts.cut:,} sequences were cut to their first {self._max_length:,} "
                f"vectors; the longest had {counts.longest:,}."
            )
        share = 100 / max(1, counts.values)
        for count, what in (
            (counts.nan, "values are missing (NaN)"),
            (counts.infinite, "values are infinite or too large for float32: taken as missing"),
            (counts.filler, f"values are {self._filler}: taken as missing"),
        ):
            if count:
                notes.say(f"{name}: {count:,} ({count * share:.2g} %) {what}.")
        if counts.emptied:
            notes.warn(
                f"{name}: {len(counts.emptied):,} samples have no value at all and count as samples "
                f"without it: {some(counts.emptied)}."
            )
            notes.leave_out(name, [(sample, "has no value at all") for sample in counts.emptied])
        if counts.zeros:
            notes.warn(
                f"{name}: {len(counts.zeros):,} samples hold nothing but zeros; they are kept: "
                f"{some(counts.zeros)}."
            )
        return counts
