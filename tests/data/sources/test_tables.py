from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.sources.tables import read_table
from raymm.errors import DataError


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def frame(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink)
    return sink.getvalue()


def test_ids_are_the_index_else_the_first_column() -> None:
    values = pd.DataFrame({"x": [1.5, 2.5], "y": [3, 4]})
    assert read_table(frame(values.set_index("y")), "t.parquet").ids.tolist() == ["3", "4"]
    with pytest.raises(DataError, match=r"column 'x' is taken for the sample ids, but holds frac"):
        read_table(frame(values), "t.parquet")
    named = values.rename_axis("row")
    assert read_table(frame(named), "t.parquet").ids.tolist() == ["0", "1"]
    assert read_table(frame(named), "t.parquet").columns.column_names == ["x", "y"]
    assert read_table(frame(values), "t.parquet", id_column="y").columns.column_names == ["x"]


def test_ids_of_every_kind_become_text() -> None:
    for ids in ([1, 2], [1.0, 2.0], pd.Categorical(["1", "2"]), ["1", "2"]):
        table = pa.Table.from_pandas(pd.DataFrame({"id": ids, "x": [0, 1]}), preserve_index=False)
        assert read_table(parquet(table), "t.parquet").ids.tolist() == ["1", "2"]
    assert read_table(b"id,x\n007,1\n1e3,2\n", "t.csv").ids.tolist() == ["007", "1e3"]
    with pytest.raises(DataError, match="is of type bool"):
        read_table(parquet(pa.table({"id": [True, False], "x": [1, 2]})), "t.parquet")
    with pytest.raises(DataError, match="lacks the sample id in 1 of 2 rows"):
        read_table(b"id,x\na,1\n,2\n", "t.csv")


def test_missing_values_of_csv() -> None:
    table = read_table(b"id,x,y\na,,NA\nb,2,up\n", "t.csv")
    assert table.columns.to_pydict() == {"x": [None, 2], "y": [None, "up"]}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "t.csv", r"t\.csv cannot be read \(0 bytes\): Empty CSV file\. The file is trunc"),
        (b"", "t.parquet", r"t\.parquet cannot be read \(0 bytes\)"),
        (b"id,x\na,1\nb", "t.csv", "Expected 2 columns, got 1"),
        (b"id,x\n\xff\xfe,1\n", "t.csv", "cannot be read"),
        (b"id,x,x\na,1,2\n", "t.csv", "two columns called 'x'"),
        (b"not a table at all", "t.parquet", "truncated or damaged"),
    ],
)
def test_damaged_files(content: bytes, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(content, name)


def test_an_id_column_that_is_not_there() -> None:
    with pytest.raises(DataError, match="no id column 'patent': did you mean 'patient'"):
        read_table(b"patient,x\na,1\n", "t.csv", id_column="patent")
