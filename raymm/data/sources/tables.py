"""One file of a folder, Parquet or CSV, to sample ids and an Arrow table of the other columns."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raymm.data.problems import some
from raymm.errors import DataError, nearest

SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Table:
    """A file that was read.

    Attributes:
        where: its address, for messages.
        ids: (n,) sample ids, unique, in the order of the file.
        columns: the other columns, n rows.
    """

    where: str
    ids: NDArray[np.str_]
    columns: pa.Table

    def select(self, names: Sequence[str]) -> Table:
        """Only the named columns, in that order; all of them where none is named.

        Raises:
            DataError: a column is unknown.
        """
        for name in names:
            if name not in self.columns.column_names:
                known = nearest(name, self.columns.column_names)
                raise DataError(f"{self.where} has no column '{name}': {known}")
        return Table(self.where, self.ids, self.columns.select(list(names))) if names else self


def read_table(content: bytes, where: str, id_column: str | None = None) -> Table:
    """Read a table and set its sample ids apart.

    The ids are the column `id_column` where it is given, else the index that pandas wrote, else the
    first column. CSV ids are kept as text, so that 007 stays 007.

    Args:
        content: the bytes of the file.
        where: its address; its ending tells the format.
        id_column: name of the id column.

    Raises:
        DataError: the file is damaged, the id column is missing, or ids are missing or not unique.
    """
    try:
        parsed = _parquet(content) if where.endswith(".parquet") else _csv(content, id_column)
        parsed.validate(full=True)
        index = _pandas_index(parsed, where)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the parsers raise almost anything
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(
            f"{where} cannot be read ({len(content):,} bytes): {reason}. The file is truncated or "
            "damaged: write or copy it again."
        ) from error
    names = parsed.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where} has two columns called {some(twice)}. Rename one of them.")
    if isinstance(index, pa.Array):
        return Table(where, _ids(index, where, "index"), parsed)
    column = id_column or index or (names[0] if names else None)
    if column is None:
        raise DataError(f"{where} has no columns. Its first one should hold the sample ids.")
    if column not in names:
        raise DataError(f"{where} has no id column '{column}': {nearest(column, names)}")
    ids = _ids(parsed.column(column).combine_chunks(), where, column)
    return Table(where, ids, parsed.drop_columns([column]))


def _parquet(content: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)


def _csv(content: bytes, id_column: str | None) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    if content.strip():
        names = pyarrow.csv.open_csv(io.BytesIO(content), convert_options=options).schema.names
        options.column_types = {id_column or names[0]: pa.string()}
    return pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options)


def _pandas_index(table: pa.Table, where: str) -> str | pa.Array | None:
    """The index that pandas wrote: a column's name, the numbers of a named range, or None."""
    index: list[Any] = (table.schema.pandas_metadata or {}).get("index_columns", [])
    if len(index) > 1:
        raise DataError(
            f"{where} has an index of {len(index)} levels. Keep the one that names the sample."
        )
    if not index or isinstance(index[0], str):
        return index[0] if index else None
    spec = index[0]
    if spec["name"] is None:
        return None
    numbers = range(int(spec["start"]), int(spec["stop"]), int(spec["step"]))
    if len(numbers) != table.num_rows:
        raise ValueError(f"the index has {len(numbers)} entries for {table.num_rows} rows")
    return pa.array(numbers, type=pa.int64())


def _ids(values: pa.Array, where: str, column: str) -> NDArray[np.str_]:
    if values.null_count:
        raise DataError(
            f"{where} lacks the sample id in {values.null_count:,} of {len(values):,} rows (column "
            f"'{column}'). Fill in the ids or remove the rows."
        )
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        whole = pc.all(pc.equal(pc.round(values), values)).as_py()
        if whole is False or not pc.all(pc.is_finite(values)).as_py():
            raise DataError(
                f"{where}: column '{column}' is taken for the sample ids, but holds fractions. Put "
                "the ids into the first column, or name their column as `id` in dataset.toml."
            )
        values = pc.cast(values, pa.int64(), safe=False)
    if not (pa.types.is_integer(values.type) or is_text(values.type)):
        raise DataError(
            f"{where}: column '{column}' is taken for the sample ids, but is of type "
            f"{values.type}. Ids are texts or whole numbers; name their column as `id` in "
            "dataset.toml."
        )
    ids = np.array(pc.cast(values, pa.large_string()).to_pylist(), dtype=np.str_)
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        repeated = unique[counts > 1].tolist()
        raise DataError(
            f"{where}: sample ids that stand in several rows: {some(repeated)} "
            f"(column '{column}'). Keep one row for each sample; if another column holds the ids, "
            "name it as `id` in dataset.toml."
        )
    return ids


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)
