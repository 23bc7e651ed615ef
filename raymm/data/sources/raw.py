"""A table that was read, to a modality with its own sample ids and all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raymm.data.dataset import Kind, spans
from raymm.data.problems import Problems, some
from raymm.data.sources.tables import Table
from raymm.errors import DataError

OUTLIER = 30.0
"""Standard deviations from the mean beyond which a value is pointed out."""


@dataclass(frozen=True)
class RawModality:
    """A modality before it is laid against the others.

    Attributes:
        ids: (n,) samples that have it: rows without any value are left out.
        values: (n, columns) for a table, (total vectors, width) for a sequence; NaN is missing.
        offsets: (n + 1,) first vector of each row of a sequence; None for a table.
        emptied: rows of the file without any value.
    """

    name: str
    kind: Kind
    ids: NDArray[np.str_]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64] | None
    columns: tuple[str, ...]
    emptied: int


def read_modality(name: str, table: Table, problems: Problems) -> RawModality | None:
    """Turn a table into numbers, noting everything that is wrong; None if that cannot be done."""
    if not table.columns.num_columns:
        problems.error(
            f"{table.where} has no column besides the sample id. Is it separated by commas, and is "
            "the id column the right one?"
        )
        return None
    nested = [field.name for field in table.columns.schema if _is_list(field.type)]
    try:
        raw = _sequence(name, table) if nested else _table(name, table)
    except DataError as error:
        problems.error(str(error))
        return None
    unfit = len(problems.found)
    _note_infinities(raw, table, problems)
    if len(problems.found) == unfit:
        _note_constants(raw, table.where, problems)
    return raw


def _table(name: str, table: Table) -> RawModality:
    """One row of numbers a sample."""
    columns = table.columns
    text = [
        f.name for f in columns.schema if not _is_number(f.type) and not pa.types.is_null(f.type)
    ]
    if text:
        example = next((v for v in columns.column(text[0]).to_pylist() if v is not None), "")
        raise DataError(
            f"{table.where}: {len(text)} of {columns.num_columns} columns are not numbers: "
            f"{some(text)} ('{text[0]}' holds {str(example)[:40]!r}). Encode them as numbers, or "
            "name the columns to use under [columns] in dataset.toml."
        )
    values = np.empty((columns.num_rows, columns.num_columns), dtype=np.float32)
    for position, column in enumerate(columns.columns):
        values[:, position] = _singles(column)
    some_value = ~np.isnan(values).all(axis=1)
    emptied = int((~some_value).sum())
    if emptied:
        values = values[some_value]
    names = tuple(columns.column_names)
    return RawModality(name, "table", table.ids[some_value], values, None, names, emptied)


def _sequence(name: str, table: Table) -> RawModality:
    """Some vectors a sample, from one column of lists of vectors."""
    columns = table.columns
    if columns.num_columns > 1:
        raise DataError(
            f"{table.where} has {columns.num_columns} columns, one of them with lists: "
            f"{some(columns.column_names)}. A sequence is one column of lists of vectors: name it "
            "under [columns] in dataset.toml, and put other columns into a table of their own."
        )
    column = columns.column(0).combine_chunks()
    where = f"{table.where}: column '{columns.column_names[0]}'"
    if not _is_list(column.type.value_type) or not _is_number(column.type.value_type.value_type):
        raise DataError(
            f"{where} is of type {column.type}. A sequence holds lists of vectors of numbers; for "
            "one vector a sample give each component a column of its own."
        )
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    vectors = pc.list_flatten(column)
    if vectors.null_count:
        raise DataError(f"{where} holds null vectors ({vectors.null_count:,}). Remove them.")
    widths = pc.unique(pc.list_value_length(vectors)).to_pylist()
    if len(widths) > 1:
        raise DataError(
            f"{where} holds vectors of different widths: {some(sorted(widths))}. All vectors of a "
            "modality have the same components."
        )
    width = widths[0] if widths else 0
    flat = _singles(pc.list_flatten(vectors)).reshape(len(vectors), width)
    row = np.repeat(np.arange(len(lengths)), lengths)
    known = np.bincount(row[~np.isnan(flat).all(axis=1)], minlength=len(lengths)) > 0
    emptied = int((~known).sum())
    offsets = np.concatenate([[0], np.cumsum(lengths[known])]).astype(np.int64)
    components = tuple(str(component) for component in range(width))
    ids = table.ids[known]
    return RawModality(name, "sequence", ids, flat[known[row]], offsets, components, emptied)


def shortened(raw: RawModality, most: int, where: str, problems: Problems) -> RawModality:
    """The first vectors of each sequence, and a remark on how many were cut.

    Args:
        raw: a modality.
        most: vectors to keep, 1 or more.
        where: its file, for messages.
        problems: a table is an error, a cut a warning.
    """
    if raw.offsets is None:
        problems.error(
            f"{where} is a table: [max_length] in dataset.toml is for sequences. Remove it."
        )
        return raw
    lengths = np.diff(raw.offsets)
    cut = int((lengths > most).sum())
    if not cut:
        return raw
    problems.warning(
        f"{where}: {cut:,} of {len(lengths):,} sequences are cut to their first {most:,} vectors "
        f"(the longest has {lengths.max():,}), as dataset.toml says."
    )
    kept = np.minimum(lengths, most)
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    values = raw.values[spans(raw.offsets[:-1], kept)]
    return replace(raw, values=values, offsets=offsets)


def _singles(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float32]:
    """Float32 with NaN for nulls; values too large for it become infinite and are refused later."""
    doubles = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        singles: NDArray[np.float32] = doubles.astype(np.float32)
    return singles


def _note_infinities(raw: RawModality, table: Table, problems: Problems) -> None:
    infinite = np.isinf(raw.values)
    count = int(infinite.sum())
    if count:
        columns = [raw.columns[index] for index in np.flatnonzero(infinite.any(axis=0))]
        problems.error(
            f"{table.where} holds values that are infinite, or too large for float32 ({count:,}, "
            f"in {len(columns)} of {len(raw.columns)} columns): {some(columns)}. Replace them by "
            "numbers, or by nothing if they are missing."
        )


def _note_constants(raw: RawModality, where: str, problems: Problems) -> None:
    """Columns that tell nothing, and values far from all others; `raw` holds no infinities."""
    if not len(raw.values):
        problems.error(
            f"{where}: no sample has a value, the modality '{raw.name}' is all missing. Fill the "
            "table or remove it."
        )
        return
    names = np.array(raw.columns)
    filled = ~np.isnan(raw.values).all(axis=0)
    values, filled_names = raw.values[:, filled].astype(np.float64), names[filled]
    constant = np.nanmin(values, axis=0) == np.nanmax(values, axis=0)
    if constant.all():
        problems.error(
            f"{where}: the modality '{raw.name}' is constant, every column has one value only "
            f"({len(raw.ids):,} samples). Remove the table, or check how it was written."
        )
        return
    distance = np.nanmax(np.abs(values - np.nanmean(values, axis=0)), axis=0)
    spread = np.nanstd(values, axis=0)
    remarks = {
        "hold no value at all and carry nothing": names[~filled],
        "have one value only and become 0": filled_names[constant],
        f"hold a value over {OUTLIER:.0f} standard deviations from their mean, a mistake of "
        "measurement or unit perhaps": filled_names[~constant & (distance > OUTLIER * spread)],
    }
    for remark, columns in remarks.items():
        if len(columns):
            count = f"{len(columns):,} of {len(names):,} columns"
            problems.warning(f"{where}: {count} {remark}: {some(columns.tolist())}.")


def _is_list(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
    )
    return any(test(kind) for test in tests)


def _is_number(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_decimal,
    )
    return any(test(kind) for test in tests)
