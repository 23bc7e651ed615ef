"""A folder that `datasets.Dataset.save_to_disk` wrote, mapped with pyarrow alone.

    dataset_info.json  state.json  data-00000-of-00001.arrow ...

Nothing is downloaded and no code of the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raymm.data.dataset import Kind
from raymm.data.problems import some
from raymm.data.sources.place import words
from raymm.errors import DataError

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
FIELDS = ("values", "data")
LABELS = "Labels"
IDS = ("id", "sample_id", "tcga_index", "key")
"""Columns that name the samples, the better known first."""


def is_huggingface(address: str) -> bool:
    """Whether a local folder was written by `datasets`."""
    folder = Path(address)
    written = (folder / STATE).is_file() or (folder / SPLITS).is_file()
    return "://" not in address and written


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
    """Map a folder's files; a folder of several splits is read as one set, in the splits' order.

    Raises:
        DataError: a file is missing, cut or damaged, or there are no rows.
    """
    folder = Path(address)
    parts = [folder]
    if (folder / SPLITS).is_file():
        parts = [folder / name for name in _json(folder / SPLITS).get("splits", [])]
    batches = [batch for part in parts for file in _files(part) for batch in _batches(file)]
    batches = [batch for batch in batches if batch.num_rows]
    if not batches:
        raise DataError(f"{address} has no rows. Save the data set again.")
    strange = [batch for batch in batches if not batch.schema.equals(batches[0].schema)]
    if strange:
        raise DataError(
            f"{address} holds rows of two kinds: {some(batches[0].schema.names)} and "
            f"{some(strange[0].schema.names)}. Save the data set again."
        )
    return Saved(address, tuple(batches))


def _files(folder: Path) -> list[Path]:
    """The files that `state.json` names, in its order."""
    state = _json(folder / STATE)
    names = [entry.get("filename", "") for entry in state.get("_data_files") or []]
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise DataError(f"{folder / STATE} names no files. Save the data set again.")
    if state.get("_indices_files"):
        raise DataError(f"{folder} keeps its order in a file of its own: save it flattened.")
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing. Copy the folder again.")
    return [folder / name for name in names]


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {words(error)}. Copy the folder again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not what `datasets` writes. Copy the folder again.")
    return content


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as file:
            stream = file.read(6) != b"ARROW1"
            file.seek(0)
            if stream:
                _check_end(file, path)
            reader = pa.ipc.open_stream(file) if stream else pa.ipc.open_file(file)
            batches = (
                list(reader)
                if stream
                else [reader.get_batch(number) for number in range(reader.num_record_batches)]
            )
        for batch in batches:
            batch.validate(full=True)
            for entry in batch.schema:
                _check_names(entry)
            yield batch
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read: {words(error)}. It is cut or damaged: copy it again."
        ) from error


def _check_names(entry: pa.Field) -> None:
    """A damaged name is found when it is asked for, as a UnicodeDecodeError."""
    inside = entry.type.num_fields
    if not isinstance(entry.name, str):
        raise ValueError("a column's name is no text")
    for place in range(inside):
        _check_names(entry.type.field(place))


def _check_end(file: pa.MemoryMappedFile, path: Path) -> None:
    """A stream that ends without its mark would be read as a shorter one."""
    size = file.size()
    file.seek(max(0, size - 8))
    if file.read() != b"\xff\xff\xff\xff\0\0\0\0":
        raise OSError("the end of the stream is missing")
    file.seek(0)


def _numbers(values: pa.Array) -> NDArray[np.generic]:
    numbers: NDArray[np.generic] = values.to_numpy(zero_copy_only=False)
    return numbers


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
