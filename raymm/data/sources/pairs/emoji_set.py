"""The built-in pairs: 1,911 emoji with their names; see `emoji/ATTRIBUTION.md`."""

from __future__ import annotations

from pathlib import Path

from raymm.data.sources.digits import verified
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.table import Columns, read_table

FOLDER = Path(__file__).with_name("emoji")
TABLE = "emoji.parquet"
MAKER = "python -m raymm.data.sources.pairs.make_emoji"


def read_emoji() -> Pairs:
    """Images with their names; the label is the category ("Flags", "Food & Drink", ...).

    Raises:
        DataError: the table is missing or was changed.
    """
    verified(FOLDER, MAKER)
    columns = Columns(image="image", text=("name",), label="category")
    return read_table(FOLDER / TABLE, columns)
