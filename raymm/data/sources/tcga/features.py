"""The values of an assay: of all its features, or of the most variable ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raymm.data.problems import some
from raymm.data.sources.matrix import Rows
from raymm.data.sources.preparation import Meter, Notes
from raymm.data.sources.tcga.assay import Assay
from raymm.data.sources.variance import MostVariable, Spread
from raymm.errors import DataError

ANNOTATIONS = frozenset({"correction", "tumortype", "sample_type", "cancer_type"})
"""Columns of text that may stand beside the values."""
UNCORRECTED = "uncorrected"
LARGEST = float(np.finfo(np.float32).max)
LOGARITHMS_END = 40.0
"""No count has a larger logarithm: log2 of 10^12."""


@dataclass(frozen=True)
class Values:
    """What was read of an assay.

    Attributes:
        samples: ascending; each has a value.
        features: names of the columns, ascending.
        values: (samples, features); NaN is missing.
    """

    samples: list[str]
    features: list[str]
    values: NDArray[np.float32]


def read_assay(assay: Assay, meter: Meter, notes: Notes) -> Values:
    """The values of an assay's samples: those of its most variable features, or of all.

    A table whose rows are features is read once, one whose rows are samples twice (spread first).

    Raises:
        DataError: as for `Matrix.read`; a feature has no name; nothing is left.
    """
    reader = _Reader(assay, meter)
    features, values = reader.turned() if assay.turned else reader.plain()
    known = ~np.isnan(values).all(axis=1)
    source = assay.matrix.source
    if not features or not known.any():
        raise DataError(
            f"{source.where} has no value for any of the samples. Is it the right file?"
        )
    if assay.logarithm and reader.largest <= LOGARITHMS_END:
        raise DataError(
            f"{source.where} holds no value over {reader.largest:g}: these seem to be logarithms "
            "already. Leave out --log2."
        )
    samples = np.array(sorted(assay.places))
    emptied = samples[~known].tolist()
    notes.leave_out(source.name, [(sample, "has no value at all") for sample in emptied])
    reader.tell(features, values[known], emptied, notes)
    return Values(samples[known].tolist(), features, values[known])


class _Reader:
    """Reads an assay's rows, and counts what is odd in them."""

    def __init__(self, assay: Assay, meter: Meter) -> None:
        self.assay, self.meter = assay, meter
        self.source = assay.matrix.source
        self.samples = sorted(assay.places)
        self.columns = assay.matrix.columns
        self.seen = self.infinite = self.sparse = self.empty = self.uncorrected = self.repeated = 0
        self.largest = -np.inf

    def plain(self) -> tuple[list[str], NDArray[np.float32]]:
        """Rows are features: one pass, in which the most variable ones are held."""
        places = self.assay.places
        chosen = MostVariable(self.assay.keep, len(self.samples))
        marks = [place for place, name in enumerate(self.columns) if name.lower() == "correction"]
        for rows in self._rows([places[sample] for sample in self.samples], marks[:1], "values"):
            features = self._named(rows.names)
            values = self._clean(rows.values)
            kept = self._corrected(rows) & self._filled((~np.isnan(values)).sum(axis=1))
            chosen.add([features[row] for row in np.flatnonzero(kept)], values[kept])
            self.seen += len(features)
        features, table = chosen.finish()
        self.repeated = chosen.repeated
        return features, table

    def turned(self) -> tuple[list[str], NDArray[np.float32]]:
        """Rows are samples: one pass for the features' spread, one for the chosen ones' values."""
        columns = [
            place for place, name in enumerate(self.columns) if name.lower() not in ANNOTATIONS
        ]
        features = self._named([self.columns[place] for place in columns])
        self.seen = len(features)
        repeated = [name for name, count in Counter(features).items() if count > 1]
        if repeated:
            raise DataError(
                f"{self.source.where} has two columns of the name '{repeated[0]}'. Rename one."
            )
        nothing = np.zeros(len(columns))
        spread = Spread(nothing.astype(np.int64), nothing, nothing)
        for _, values in self._sample_rows(columns, "spread"):
            spread = spread.with_more(Spread.of(self._clean(values)))
        self.infinite = 0
        variance = spread.variance()
        kept = np.flatnonzero(self._filled(spread.count))
        best = sorted(kept, key=lambda index: (-variance[index], features[index]))
        chosen = sorted(best[: self.assay.keep], key=lambda index: features[index])
        table = np.full((len(self.samples), len(chosen)), np.nan, np.float32)
        for order, values in self._sample_rows([columns[index] for index in chosen], "values"):
            table[order] = self._clean(values)
        return [features[index] for index in chosen], table

    def _sample_rows(
        self, columns: Sequence[int], what: str
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Rows of the samples that are used: their places among the samples, and their values."""
        place_of = {
            row: place for place, row in enumerate(map(self.assay.places.get, self.samples))
        }
        first = 0
        for rows in self._rows(columns, [], what):
            places = [place_of.get(first + row, -1) for row in range(len(rows.names))]
            first += len(rows.names)
            order = np.array(places, np.int64)
            yield order[order >= 0], rows.values[order >= 0]

    def _rows(self, numbers: Sequence[int], texts: Sequence[int], what: str) -> Iterator[Rows]:
        progress = self.meter.begin(f"{self.source.name}: {what}", self.source.size())
        return self.assay.matrix.read(numbers, texts, progress)

    def _named(self, names: Sequence[str | None]) -> list[str]:
        named = [name for name in names if name]
        if len(named) < len(names):
            raise DataError(
                f"{self.source.where} has features without a name ({len(names) - len(named):,}). "
                "Name them or remove them."
            )
        return named

    def _clean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Without what is infinite or too large, as logarithms where that is asked for."""
        with np.errstate(invalid="ignore"):
            infinite = np.abs(values) > LARGEST
        count = int(infinite.sum())
        if count:
            self.infinite += count
            values = np.where(infinite, np.nan, values)
        if values.size and not np.isnan(values).all():
            self.largest = max(self.largest, float(np.nanmax(values)))
        return np.log2(np.maximum(values, 0) + 1) if self.assay.logarithm else values

    def _corrected(self, rows: Rows) -> NDArray[np.bool_]:
        """Which features the table does not mark as uncorrected."""
        if not rows.texts or self.assay.uncorrected:
            return np.ones(len(rows.names), np.bool_)
        marks = np.array([(mark or "").lower() != UNCORRECTED for mark in rows.texts[0]])
        self.uncorrected += int((~marks).sum())
        return marks

    def _filled(self, count: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which features have values, and enough of them; count is (features,)."""
        enough = count >= (1 - self.assay.most_missing) * len(self.samples)
        self.empty += int((count == 0).sum())
        self.sparse += int(((count > 0) & ~enough).sum())
        return enough & (count > 0)

    def tell(
        self,
        features: Sequence[str],
        values: NDArray[np.float32],
        emptied: Sequence[str],
        notes: Notes,
    ) -> None:
        """Put into words what was found."""
        name, keep = self.assay.name, self.assay.keep
        kind = "features" if keep is None else "most variable features"
        missing = float(np.isnan(values).mean())
        notes.say(
            f"{name}: {len(features):,} {kind} of {self.seen:,}, {len(values):,} samples, "
            f"{100 * missing:.2f} % of values missing."
        )
        share = f"values missing for over {100 * self.assay.most_missing:g} % of the samples"
        for count, what in (
            (self.sparse, f"features left out, {share}"),
            (self.empty, "features left out without any value"),
            (self.uncorrected, "features left out that the table marks as uncorrected"),
            (self.repeated, "features left out whose name a more variable one has"),
            (self.infinite, "values infinite or too large: taken as missing"),
        ):
            if count:
                notes.say(f"{name}: {count:,} {what}.")
        if emptied:
            notes.warn(f"{name}: {len(emptied):,} samples without any value: {some(emptied)}.")
        if keep is not None and len(features) < keep:
            notes.warn(f"{name}: there are only {len(features):,} features, not {keep:,}.")
