"""A wide table of numbers as text, with names in its header and its first column, read in blocks.

Nothing of it is in memory but the block at hand and the next, which is read meanwhile: a table of
450,000 rows takes no more than one of 450.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from raymm.data.sources.stream import Progress, Source, ahead, silent
from raymm.errors import DataError

MISSING = ("", "NA", "NaN", "nan", "N/A", "#N/A", "null", "NULL")
"""Cells that say that a value is missing."""
LONGEST_LINE = 2**28
BLOCK_BYTES = 2**25
"""Text that is parsed at a time, unless lines are longer than an eighth of it: 9,000 columns cost
40 ms a block, whatever it holds."""
SHOWN = 160
"""Characters of a parser's message: it may quote a whole line."""


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows.

    Attributes:
        names: (rows,) first cells; None where one is empty.
        texts: for each text column asked for, its (rows,) cells.
        values: (rows, columns) of the number columns asked for; NaN is missing.
    """

    names: list[str | None]
    texts: list[list[str | None]]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """A table that was opened; its rows are read when they are asked for.

    Attributes:
        corner: first cell of the header.
        columns: the header's other cells.
        first_row: name of the first row.
        delimiter: tab or comma.
        headless: whether the header lacks the corner's cell, as R writes it.
    """

    source: Source
    corner: str
    columns: tuple[str, ...]
    first_row: str
    delimiter: str
    headless: bool

    def read(
        self, numbers: Sequence[int], texts: Sequence[int] = (), progress: Progress = silent
    ) -> Iterator[Rows]:
        """All rows, a block at a time.

        Args:
            numbers: places in `columns` that hold numbers.
            texts: places in `columns` that hold text.
            progress: told of the bytes read.

        Raises:
            DataError: a cell is not a number, lines differ in their number of cells, or the file
                is damaged or ends inside a line.
        """
        with self.source.open(progress) as stream:
            header = stream.line(LONGEST_LINE)
            blocks = stream.blocks(max(BLOCK_BYTES, 8 * len(header)), LONGEST_LINE)
            try:
                for block in ahead(blocks):
                    yield _rows(self._parsed(block, numbers, texts), len(texts))
            except pa.ArrowInvalid as error:
                raise DataError(self._told(str(error))) from error
            if stream.last not in (b"\n", b"\r"):
                raise DataError(
                    f"{self.source.where} ends inside a line: it seems to be cut. Copy or download "
                    "it again; if it is whole, end its last line."
                )

    def _parsed(self, block: bytes, numbers: Sequence[int], texts: Sequence[int]) -> pa.Table:
        """Rows of a block of whole lines."""
        names = [str(place) for place in range(len(self.columns) + 1)]
        wanted = ["0", *(str(place + 1) for place in (*texts, *numbers))]
        types = {name: pa.string() for name in wanted[: len(texts) + 1]}
        types |= {name: pa.float64() for name in wanted[len(texts) + 1 :]}
        # Arrow's own streaming reader reads up to 32 blocks ahead, whatever memory that takes.
        return pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, block_size=len(block) + 1, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=wanted,
                null_values=list(MISSING),
                strings_can_be_null=True,
            ),
        )

    def _told(self, message: str) -> str:
        """What the parser says, with the column's name in place of its number."""
        found = re.search(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", message)
        if found is None:
            plain = " ".join(message.split())[:SHOWN]
            return (
                f"{self.source.where} is not a table of {len(self.columns) + 1:,} columns "
                f"throughout: {plain}. Copy or download it again."
            )
        place = int(found[1])
        name = self.columns[place - 1] if place else self.corner
        return (
            f"{self.source.where}: column '{name[:SHOWN]}' holds what is no number: "
            f"{found[3][:SHOWN]}. Mend that cell or leave it empty; missing is one of "
            f"{', '.join(MISSING[1:])}."
        )


def open_matrix(source: Source) -> Matrix:
    """Read a table's header and the name of its first row.

    Raises:
        DataError: it cannot be read, or is not a table with tabs or commas.
    """
    with source.open() as stream:
        header, first = stream.line(LONGEST_LINE), stream.line(LONGEST_LINE)
    try:
        texts = header.decode("utf-8-sig"), first.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{source.where} is not text: {error}. Is it a table?") from error
    delimiter = "\t" if "\t" in texts[0] else ","
    cells, row = _cells(texts[0], delimiter), _cells(texts[1], delimiter)
    headless = len(row) == len(cells) + 1
    if len(cells) + headless < 2 or len(row) != len(cells) + headless:
        raise DataError(
            f"{source.where} is not a table with tabs or commas: its header has {len(cells):,} "
            f"cells and its first row {len(row):,}. Copy or download it again."
        )
    corner, columns = ("", cells) if headless else (cells[0], cells[1:])
    return Matrix(source, corner, tuple(columns), row[0], delimiter, headless)


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().removeprefix('"').removesuffix('"') for cell in line.split(delimiter)]


def _rows(table: pa.Table, texts: int) -> Rows:
    strings = [table.column(place).to_pylist() for place in range(texts + 1)]
    numbers = table.select(range(texts + 1, table.num_columns))
    values = np.empty((table.num_rows, 0))
    if numbers.num_columns and table.num_rows:
        (batch,) = numbers.to_batches()
        values = batch.to_tensor(null_to_nan=True).to_numpy()
    return Rows(strings[0], strings[1:], values)
