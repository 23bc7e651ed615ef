"""New samples for a trained model: arrays, frames or lists of sequences, standardised as in training.

Shapes: n samples, M modalities, w columns of a table or components of a sequence's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Modality, ModalitySpec
from raymm.data.prepared import Column, Split
from raymm.data.scaling import Scaling
from raymm.errors import DataError, nearest

Values: TypeAlias = (
    "NDArray[np.floating] | pd.DataFrame | pd.Series | Sequence[NDArray[np.floating] | None]"
)
"""Of one modality: (n, w) of a table; or the sequences, (vectors, w) each, None where missing."""


@dataclass(frozen=True)
class Expected:
    """What a model was trained on, modality by modality.

    Attributes:
        any_length: whether sequences may be longer than those it was trained on.
    """

    specs: tuple[ModalitySpec, ...]
    columns: tuple[tuple[str, ...], ...]
    scalings: tuple[Scaling | None, ...]
    any_length: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(spec.name for spec in self.specs)


def from_tables(tables: Mapping[str, Values], expected: Expected) -> Split:
    """A split of the samples that tables, by modality, hold.

    Frames are laid against each other by their index, and the samples are those of all indexes in
    the order they come; arrays and lists hold the same samples in the same order. A modality that
    is not named, a row that a frame lacks, a row of a table without any value and a sequence that
    is None or empty are missing. Columns of a frame are taken by name, others are left aside.

    Raises:
        DataError: a modality or column is unknown, shapes or numbers of samples do not fit, or a
            sample has no modality.
    """
    _check_names(tables, expected)
    framed = [isinstance(values, pd.DataFrame | pd.Series) for values in tables.values()]
    if any(framed) and not all(framed):
        raise DataError(
            "Some modalities are given as frames and some as arrays, so that it is not known which "
            "rows belong together. Give all of them as frames with the sample ids as index, or all "
            "as arrays of the same samples in the same order."
        )
    ids = _ids(tables)
    modalities = []
    for spec, columns in zip(expected.specs, expected.columns, strict=True):
        if spec.name in tables:
            modalities.append(_modality(spec, columns, tables[spec.name], ids))
    return _split(np.array([str(name) for name in ids]), modalities, expected)


def from_dataset(dataset: Dataset, expected: Expected) -> Split:
    """A split of all samples of a data set: its modalities that the model knows, by name.

    Its values stay where they are, mapped from a file perhaps.

    Raises:
        DataError: it has none of the modalities, or one of another kind or width.
    """
    known = [each for each in dataset.modalities if each.name in expected.names]
    if not known:
        has = ", ".join(each.name for each in dataset.modalities)
        raise DataError(
            f"{dataset.name} has the modalities {has}, of which the model knows none: it was "
            f"trained on {', '.join(expected.names)}."
        )
    return _split(dataset.ids, known, expected)


def _check_names(tables: Mapping[str, Values], expected: Expected) -> None:
    if not tables:
        raise DataError(f"No modality is given. The model knows {', '.join(expected.names)}.")
    for name in tables:
        if name not in expected.names:
            raise DataError(f"The model has no modality '{name}': {nearest(name, expected.names)}")


def _ids(tables: Mapping[str, Values]) -> list[object]:
    """The samples, in order: indexes of the frames joined, or numbers from 0."""
    seen: dict[object, None] = {}
    counts: dict[str, int] = {}
    for name, values in tables.items():
        counts[name] = len(values)
        if isinstance(values, pd.DataFrame | pd.Series):
            if values.index.has_duplicates:
                twice = values.index[values.index.duplicated()][0]
                raise DataError(f"{name} has several rows of sample {twice!r}. Keep one of each.")
            seen |= dict.fromkeys(values.index)
    if seen:
        return list(seen)
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise DataError(
            f"The modalities hold different numbers of samples: {each}. Give each the same samples "
            "in the same order, rows of NaN (or None for a sequence) where one is missing."
        )
    return list(range(next(iter(counts.values()))))


def _modality(
    spec: ModalitySpec, columns: Sequence[str], values: Values, ids: Sequence[object]
) -> Modality:
    samples = np.arange(len(ids), dtype=np.int64)
    if isinstance(values, pd.DataFrame | pd.Series):
        place = {name: number for number, name in enumerate(ids)}
        samples = np.array([place[name] for name in values.index], dtype=np.int64)
        order = np.argsort(samples)
        samples, values = samples[order], values.iloc[order]
    if spec.kind == "table":
        table = _table(spec, columns, values)
        there = ~np.isnan(table).all(axis=1)
        return Modality(spec.name, "table", samples[there], table[there], None, tuple(columns))
    parts = _sequences(spec, values)
    there = np.array([len(part) > 0 for part in parts], dtype=np.bool_)
    lengths = [len(part) for part in parts if len(part)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate([np.empty((0, spec.width), np.float32), *parts])
    return Modality(spec.name, "sequence", samples[there], flat, offsets, tuple(columns))


def _table(spec: ModalitySpec, columns: Sequence[str], values: Values) -> NDArray[np.float32]:
    if isinstance(values, pd.DataFrame):
        for column in columns:
            if column not in values.columns:
                known = nearest(column, map(str, values.columns))
                raise DataError(f"{spec.name} lacks the column '{column}': {known}")
        values = values[list(columns)].to_numpy(dtype=np.float32, na_value=np.nan)
    table = _numbers(spec, values)
    if table.ndim != 2 or table.shape[1] != spec.width:
        raise DataError(
            f"{spec.name} has the shape {table.shape}, wanted is (samples, {spec.width}): a row for "
            "each sample and the columns that the model was trained on."
        )
    return table


def _sequences(spec: ModalitySpec, values: Values) -> list[NDArray[np.float32]]:
    """(vectors, w) of each sample, none where it is missing or has no value."""
    if isinstance(values, pd.DataFrame):
        raise DataError(
            f"{spec.name} is a sequence, but given as a frame. Give a list of arrays (vectors, "
            f"{spec.width}), or a Series of them with the sample ids as index."
        )
    parts = []
    for number, value in enumerate(values):
        part = np.empty((0, spec.width), np.float32)
        if value is not None and not np.isscalar(value):
            part = _numbers(spec, value)
        if part.ndim != 2 or part.shape[1] != spec.width:
            raise DataError(
                f"{spec.name}: sequence {number} has the shape {part.shape}, wanted is (vectors, "
                f"{spec.width})."
            )
        parts.append(part[:0] if np.isnan(part).all() else part)
    return parts


def _numbers(spec: ModalitySpec, values: object) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            numbers: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{spec.name} cannot be read as numbers: {error}") from error
    if np.isinf(numbers).any():
        raise DataError(
            f"{spec.name} holds values that are infinite, or too large for float32. Replace them "
            "by numbers, or by NaN if they are missing."
        )
    return numbers


def _split(ids: NDArray[np.str_], modalities: Sequence[Modality], expected: Expected) -> Split:
    """All samples as a split, with the model's modalities in its order, absent ones among them."""
    given = {modality.name: modality for modality in modalities}
    presence = np.zeros((len(ids), len(expected.specs)), dtype=np.bool_)
    columns = []
    for index, (spec, scaling) in enumerate(zip(expected.specs, expected.scalings, strict=True)):
        modality = given.get(spec.name) or _absent(spec)
        _check_fits(modality, spec, expected.any_length)
        presence[modality.rows, index] = True
        row_of = np.full(len(ids), -1, dtype=np.int64)
        row_of[modality.rows] = np.arange(len(modality.rows))
        columns.append(
            Column(
                modality.kind, row_of, modality.values, modality.offsets, scaling, modality.mapping
            )
        )
    empty = np.flatnonzero(~presence.any(axis=1))
    if len(empty):
        first = ", ".join(repr(str(name)) for name in ids[empty[:3]])
        raise DataError(
            f"{len(empty):,} of {len(ids):,} samples have none of the modalities: {first}"
            f"{' ...' if len(empty) > 3 else ''}. There is nothing to embed: leave them out."
        )
    return Split(ids, presence, None, tuple(columns))


def _absent(spec: ModalitySpec) -> Modality:
    rows, values = np.empty(0, np.int64), np.empty((0, spec.width), np.float32)
    offsets = None if spec.kind == "table" else np.zeros(1, np.int64)
    return Modality(spec.name, spec.kind, rows, values, offsets, (), missing=False)


def _check_fits(modality: Modality, spec: ModalitySpec, any_length: bool) -> None:
    if (modality.kind, modality.width) != (spec.kind, spec.width):
        raise DataError(
            f"{spec.name} is a {modality.kind} of width {modality.width}; the model was trained on "
            f"a {spec.kind} of width {spec.width}."
        )
    if modality.offsets is not None and len(modality.rows) and not any_length:
        longest = int(np.diff(modality.offsets).max())
        if longest > spec.max_length:
            raise DataError(
                f"{spec.name} has sequences of up to {longest:,} vectors; the longest the model was "
                f"trained on has {spec.max_length:,}. Shorten them."
            )
    if spec.kind == "table" and not spec.has_missing and modality.has_missing:
        raise DataError(
            f"{spec.name} lacks values in some rows. The model was trained on rows without gaps and "
            "cannot tell what they mean: fill them in, or leave the whole row out (NaN)."
        )
