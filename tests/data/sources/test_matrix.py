"""Wide tables in blocks."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from raymm.data.sources import matrix as module
from raymm.data.sources.matrix import Matrix, open_matrix
from raymm.data.sources.place import open_place
from raymm.data.sources.stream import Source
from raymm.errors import DataError


def opened(folder: Path, content: bytes, name: str = "a.tsv") -> Matrix:
    (folder / name).write_bytes(content)
    return open_matrix(Source(open_place(str(folder)), name))


def whole(matrix: Matrix, columns: list[int]) -> tuple[list[str | None], np.ndarray]:
    blocks = list(matrix.read(columns))
    return [n for b in blocks for n in b.names], np.concatenate([b.values for b in blocks])


def refusal(folder: Path, content: bytes) -> str:
    try:
        matrix = opened(folder, content)
        whole(matrix, list(range(len(matrix.columns))))
    except DataError as error:
        return str(error)
    pytest.fail("it was read")


def numbers(rows: int, columns: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(rows, columns))
    values[::7, 1] = np.nan
    return values


def text(values: np.ndarray) -> bytes:
    lines = ["\t".join(["id", *(f"c{column}" for column in range(values.shape[1]))])]
    for row, cells in enumerate(values.tolist()):
        texts = ["NA" if cell != cell else repr(cell) for cell in cells]
        lines.append("\t".join([f"r{row}", *texts]))
    return ("\n".join(lines) + "\n").encode()


def test_it_reads_every_number_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 2_000)
    expected = numbers(200, 9)
    matrix = opened(tmp_path, gzip.compress(text(expected)))
    assert len(list(matrix.read([0]))) > 5
    names, values = whole(matrix, [8, 1, 3])
    assert names == [f"r{row}" for row in range(200)]
    assert np.array_equal(values, expected[:, [8, 1, 3]], equal_nan=True)


@pytest.mark.parametrize("missing", module.MISSING)
def test_words_for_missing(tmp_path: Path, missing: str) -> None:
    _, values = whole(opened(tmp_path, f"s\ta\tb\nx\t1\t{missing}\n".encode()), [0, 1])
    assert values[0, 0] == 1
    assert np.isnan(values[0, 1])


def test_commas_quotes_a_mark_of_order_and_the_header_that_r_writes(tmp_path: Path) -> None:
    matrix = opened(tmp_path, b'\xef\xbb\xbf"s","a","b"\r\n"x",1,2\r\n')
    assert (matrix.corner, matrix.columns, matrix.delimiter) == ("s", ("a", "b"), ",")
    assert whole(matrix, [0, 1])[1].tolist() == [[1, 2]]
    r = opened(tmp_path, b"a\tb\nx\t1\t2\n")
    assert (r.corner, r.columns, r.first_row) == ("", ("a", "b"), "x")
    assert whole(r, [1])[1].tolist() == [[2]]


def test_texts_beside_numbers_and_nothing_but_names(tmp_path: Path) -> None:
    matrix = opened(tmp_path, b"s\tmark\ta\nx\tgood\t1\ny\tNA\t2\n")
    rows = next(iter(matrix.read([1], [0])))
    assert rows.texts == [["good", None]]
    assert rows.values.tolist() == [[1], [2]]
    rows = next(iter(matrix.read([])))
    assert (rows.names, rows.values.shape) == (["x", "y"], (2, 0))


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    assert "column 'b' holds what is no number" in refusal(tmp_path, b"s\ta\tb\nx\t1\ttwo\n")
    assert "not a table of 3 columns" in refusal(tmp_path, b"s\ta\tb\nx\t1\t2\ny\t1\n")
    assert "its header has 3 cells and its first row 5" in refusal(
        tmp_path, b"s\ta\tb\nx\t1\t2\t3\t4\n"
    )
    assert "not a table with tabs or commas" in refusal(tmp_path, b"words\nmore\n")
    assert "not a table with tabs or commas" in refusal(tmp_path, b"")
    assert "is not text" in refusal(tmp_path, b"\xff\xfe\x00\nx\n")
    assert "1,5" in refusal(tmp_path, b"s\ta\tb\nx\t1,5\t2\n")


def test_a_file_that_ends_inside_a_line_is_refused(tmp_path: Path) -> None:
    # The cut leaves 12 of 123: nothing but the missing line end tells.
    assert "ends inside a line" in refusal(tmp_path, b"s\ta\tb\nx\t1\t2\ny\t1\t12")
