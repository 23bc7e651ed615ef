"""A folder that `datasets.Dataset.save_to_disk` wrote, mapped with pyarrow alone.

    dataset_info.json  state.json  data-00000-of-00001.arrow ...

Nothing is downloaded and no code of the folder is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raymm.data.dataset import Kind
from raymm.data.problems import some
from raymm.data.sources.huggingface.files import mapped_batches
from raymm.errors import DataError

FIELDS = ("values", "data")
LABELS = "Labels"
IDS = ("id", "sample_id", "tcga_index", "key")
"""Columns that name the samples, the better known first."""


@dataclass(frozen=True)
class Column:
    """A modality.

    Attributes:
        field: of the struct that holds the values.
        width: columns of a table, components of a sequence's vectors.
    """

    name: str
    field: str
    kind: Kind
    width: int


@dataclass(frozen=True)
class Saved:
    """An open folder; its values stay in their files and are mapped.

    Attributes:
        address: of the folder.
        batches: of rows, in order.
    """

    address: str
    batches: tuple[pa.RecordBatch, ...]
    _memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return self.batches[0].schema

    @property
    def rows(self) -> int:
        """Samples."""
        return sum(batch.num_rows for batch in self.batches)

    def column(self, name: str) -> pa.ChunkedArray:
        """All of a column."""
        return pa.chunked_array([batch.column(name) for batch in self.batches])

    def modalities(self) -> list[Column]:
        """The columns that hold modalities; those without any value are left out.

        Raises:
            DataError: a column is neither a modality, nor a label, nor an id.
        """
        found = []
        for entry in self.schema:
            if not pa.types.is_struct(entry.type) or entry.name == LABELS:
                continue
            inside = [entry.type.field(place) for place in range(entry.type.num_fields)]
            fields = [each for each in inside if each.name in FIELDS]
            if len(fields) != 1:
                raise DataError(
                    f"{self.address}: column '{entry.name}' holds {some([f.name for f in inside])}. "
                    f"A modality holds one of {some(FIELDS)}: leave the column out of the set."
                )
            column = self._modality(entry.name, fields[0])
            if column is not None:
                found.append(column)
        if not found:
            raise DataError(
                f"{self.address} has no column of {{values: ...}} or {{data: ...}}; it has "
                f"{some(self.schema.names)}."
            )
        return found

    def _modality(self, name: str, inside: pa.Field) -> Column | None:
        kind = inside.type
        if pa.types.is_null(kind):
            return None
        sequence = _is_list(kind) and _is_list(kind.value_type)
        number = (
            kind.value_type.value_type if sequence else kind.value_type if _is_list(kind) else None
        )
        if number is None or not (pa.types.is_floating(number) or pa.types.is_integer(number)):
            raise DataError(
                f"{self.address}: column '{name}' is of type {kind}. A table is a list of numbers, a "
                "sequence a list of lists of numbers."
            )
        for place in range(self.rows):
            values = self.values(
                Column(name, inside.name, "sequence" if sequence else "table", 0), place
            )
            if values is not None and values.size:
                width = values.shape[1]
                return Column(name, inside.name, "sequence" if sequence else "table", width)
        return None

    def values(self, column: Column, row: int) -> NDArray[np.generic] | None:
        """A sample's (vectors, width) values, one row for a table; None if it lacks them.

        Raises:
            DataError: its vectors differ in width.
        """
        batch, place = self._place(row)
        outer = batch.column(column.name)[place]
        inner = outer[column.field] if outer.is_valid else None
        if inner is None or not inner.is_valid:
            return None
        values = inner.values
        if column.kind == "table":
            return _numbers(values).reshape(1, -1)
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) > 1 or None in lengths:
            raise DataError(
                f"{self.address}: '{column.name}' of row {row:,} has vectors of the widths "
                f"{some(lengths)}. All have the same components."
            )
        return _numbers(pc.list_flatten(values)).reshape(-1, lengths[0] if lengths else 0)

    def id_column(self, asked: str | None) -> str | None:
        """The column that names the samples; None if there is none."""
        known = [name for name in IDS if name in self.schema.names]
        return asked or (known[0] if known else None)

    def ids(self, asked: str | None) -> list[str]:
        """Names of the samples: a column's, or the rows' numbers.

        Raises:
            DataError: the column is unknown, holds no names, or names a sample twice.
        """
        name = self.id_column(asked)
        if name is None:
            digits = len(str(self.rows - 1))
            return [f"{row:0{digits}d}" for row in range(self.rows)]
        if name not in self.schema.names:
            raise DataError(f"{self.address} has no column '{name}': {some(self.schema.names)}.")
        names = [None if value is None else str(value) for value in self.column(name).to_pylist()]
        lacking = names.count(None)
        unique = {value for value in names if value is not None}
        if lacking or len(unique) < len(names):
            raise DataError(
                f"{self.address}: column '{name}' does not name the samples: {lacking:,} have no name, "
                f"{len(names) - lacking - len(unique):,} one that another has. Name another with --id."
            )
        return [value for value in names if value is not None]

    def _place(self, row: int) -> tuple[pa.RecordBatch, int]:
        ends = self._memo.setdefault("ends", np.cumsum([batch.num_rows for batch in self.batches]))
        number = int(np.searchsorted(ends, row, side="right"))
        return self.batches[number], row - (int(ends[number - 1]) if number else 0)


def open_saved(address: str) -> Saved:
    """Open a folder.

    Raises:
        DataError: a file is missing, cut or damaged, or there are no rows.
    """
    return Saved(address, mapped_batches(address))


def _numbers(values: pa.Array) -> NDArray[np.generic]:
    numbers: NDArray[np.generic] = values.to_numpy(zero_copy_only=False)
    return numbers


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
