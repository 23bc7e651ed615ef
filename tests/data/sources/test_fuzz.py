from __future__ import annotations

import io
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.problems import Problems
from raymm.data.sources.raw import read_modality
from raymm.data.sources.tables import read_table
from raymm.errors import DataError


def content(kind: str) -> bytes:
    rows = 50
    ids = [f"s{row}" for row in range(rows)]
    values = np.random.default_rng(0).normal(size=(rows, 4))
    columns = {f"c{column}": values[:, column] for column in range(4)}
    if kind == "csv":
        return "\n".join(
            ["id,a,b", *(f"{one},{x},{y}" for one, (x, y) in zip(ids, values[:, :2], strict=True))]
        ).encode()
    if kind == "sequence":
        vectors = [[list(vector)] * (row % 3 + 1) for row, vector in enumerate(values)]
        columns = {"values": pa.array(vectors, type=pa.list_(pa.list_(pa.float32())))}
    sink = io.BytesIO()
    checked = kind == "checked"
    pq.write_table(
        pa.table({"id": ids, **columns}), sink, compression="zstd", write_page_checksum=checked
    )
    return sink.getvalue()


CONTENT = {kind: content(kind) for kind in ("table", "checked", "sequence", "csv")}


def read(kind: str, damaged: bytes) -> bool:
    """Whether it was read; anything but a DataError fails the test."""
    problems = Problems()
    try:
        table = read_table(damaged, "t.csv" if kind == "csv" else "t.parquet")
    except DataError:
        return False
    raw = read_modality("t", table, problems)
    assert raw is not None or problems.found
    return raw is not None


@pytest.mark.parametrize("kind", CONTENT)
def test_undamaged(kind: str) -> None:
    assert read(kind, CONTENT[kind])


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["table", "checked", "sequence"]), st.floats(0, 1, exclude_max=True))
def test_a_truncated_parquet_file_is_refused(kind: str, kept: float) -> None:
    assert not read(kind, CONTENT[kind][: int(kept * len(CONTENT[kind]))])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(CONTENT)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
)
def test_a_damaged_file_is_read_or_refused(kind: str, flips: list[tuple[float, int]]) -> None:
    damaged = bytearray(CONTENT[kind])
    for place, bits in flips:
        damaged[int(place * len(damaged))] ^= bits
    read(kind, bytes(damaged))


def test_a_flipped_bit_in_a_checked_page_is_refused() -> None:
    whole = CONTENT["checked"]
    chunk = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(2)
    end = chunk.data_page_offset + chunk.total_compressed_size
    for place, bit in itertools.product(range(end - 40, end, 8), (0, 7)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        assert not read("checked", bytes(damaged))
