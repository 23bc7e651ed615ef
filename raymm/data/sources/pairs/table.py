"""Pairs as Parquet: a file or a folder of files, with columns for images, texts, label and id.

Files called train, val / dev / validation and test are official splits. An image column holds the
bytes of image files, or their paths from the table's folder. A text column holds texts, or lists of
texts: then each text is a sample, `<id>#<n>`, with the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raymm.data.dataset import Label
from raymm.data.sources.pairs.build import Column, build, classes, scores, text_names
from raymm.data.sources.pairs.pairs import Item, Pairs
from raymm.errors import ConfigError, DataError, nearest
from raymm.storage.address import words

NUMBERED = "#"
ROLES = ("image", "text", "label", "id", "group")
SPLITS = {"train": "train", "val": "validation", "dev": "validation", "validation": "validation",
          "test": "test"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what.

    Attributes:
        image: of images; None if there are none.
        text: of texts, one or several.
        label: what probes predict: texts and whole numbers are classes, other numbers a score.
        id: of the samples; None is 'id' if there is such a column, else their numbers; '#' is their
            numbers in any case.
        group: what several rows have in common, such as the image of five captions: their ids are
            `<group>#<n>`.
    """

    image: str | None = "image"
    text: tuple[str, ...] = ("text",)
    label: str | None = None
    id: str | None = None
    group: str | None = None


def parse_columns(given: Sequence[str]) -> Columns:
    """Columns from `image=photo`, `text=caption` or `text=first,second`, `label=kind`, `id=#`.

    What is not given is left out, but for the id.

    Raises:
        ConfigError: something else is given.
    """
    values: dict[str, str] = {}
    for each in given:
        key, mark, value = each.partition("=")
        if not mark or not value or key not in ROLES:
            raise ConfigError(
                f"--columns {each}: {nearest(key, ROLES)} Such as "
                "`--columns image=photo text=caption label=kind`."
            )
        values[key] = value
    if not values:
        return Columns()
    texts = tuple(values["text"].split(",")) if "text" in values else ()
    return Columns(
        image=values.get("image"),
        text=texts,
        label=values.get("label"),
        id=values.get("id"),
        group=values.get("group"),
    )


def is_table(path: Path) -> bool:
    """Whether a path is a Parquet file, or a folder that holds some."""
    return path.suffix == ".parquet" if path.is_file() else any(path.glob("*.parquet"))


def read_table(path: Path, columns: Columns | None = None, *, first_only: bool = False) -> Pairs:
    """Read a table of pairs.

    Args:
        path: Parquet file, or folder of Parquet files with the same columns.
        columns: which is what.
        first_only: only the first of a list of texts.

    Raises:
        DataError: a file cannot be read, or a column is missing or of an odd type.
    """
    chosen = columns or Columns()
    if chosen.image is None and not chosen.text:
        raise ConfigError("A table of pairs needs a column of images or of texts: see --columns.")
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    tables = [_read(file, chosen) for file in files]
    stems = [SPLITS.get(file.stem.split("_")[0].lower(), "") for file in files]
    several = len(files) > 1
    rows: list[_Row] = []
    for file, table, stem in zip(files, tables, stems, strict=True):
        start = f"{file.stem}-" if several else ""
        rows += _rows(table, chosen, start, stem, file, first_only)
    names = text_names(len(chosen.text))
    found = {
        name: Column("text", [row.texts[place] for row in rows]) for place, name in enumerate(names)
    }
    if chosen.image is not None:
        found = {"image": Column("image", [row.image for row in rows]), **found}
    label = [] if chosen.label is None else [_label(chosen.label, [row.label for row in rows])]
    splits = [row.split for row in rows]
    return build(
        path.stem if path.is_file() else path.name,
        [row.id for row in rows],
        found,
        labels=label,
        groups=[row.group for row in rows],
        splits=splits if several and any(splits) else None,
    )


@dataclass(frozen=True)
class _Row:
    id: str
    group: str
    image: Item | None
    texts: tuple[str | None, ...]
    label: Any
    split: str


def _read(path: Path, columns: Columns) -> pa.Table:
    """The columns that are asked for, in memory."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        names = file.schema_arrow.names
        wanted = [columns.image, *columns.text, columns.label, columns.group]
        if columns.id != NUMBERED:
            wanted.append(columns.id or ("id" if "id" in names else None))
        for name in wanted:
            if name is not None and name not in names:
                raise DataError(
                    f"{path} has no column '{name}': {nearest(name, names)} Say which column is "
                    "what, such as `--columns image=photo text=caption`."
                )
        table = file.read([name for name in dict.fromkeys(wanted) if name is not None])
        table.validate(full=True)
        return table
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the parser raise almost anything
        raise DataError(
            f"{path} cannot be read: {words(error)}. It is cut or damaged: copy or write it again."
        ) from error


def _rows(
    table: pa.Table, columns: Columns, start: str, split: str, path: Path, first_only: bool
) -> list[_Row]:
    ids = _ids(table, columns, path)
    groups = [each.split("#")[0] for each in ids]
    images = _images(table, columns.image, path)
    labels = [None] * len(ids) if columns.label is None else table.column(columns.label).to_pylist()
    texts = [_texts(table, name, path) for name in columns.text]
    rows = []
    for place, own in enumerate(ids):
        listed = [column[place] for column in texts]
        longest = max((len(each) for each in listed if isinstance(each, list)), default=None)
        for number in range(1 if longest is None or first_only else longest):
            sample = start + own + ("" if longest is None else f"#{number}")
            row = tuple(_nth(each, number) for each in listed)
            group = start + groups[place]
            rows.append(_Row(sample, group, images[place], row, labels[place], split))
    return rows


def _ids(table: pa.Table, columns: Columns, path: Path) -> list[str]:
    if columns.group is not None:
        seen: dict[str, int] = {}
        ids = []
        for value in _names(table, columns.group, path):
            number = seen.get(value, 0)
            seen[value] = number + 1
            ids.append(f"{value}#{number}")
        return ids
    if columns.id != NUMBERED and (columns.id or "id" in table.column_names):
        return _names(table, columns.id or "id", path)
    width = len(str(table.num_rows))
    return [f"{number:0{width}d}" for number in range(table.num_rows)]


def _names(table: pa.Table, name: str, path: Path) -> list[str]:
    """A column that names samples or groups, as texts."""
    column = table.column(name)
    if column.null_count:
        raise DataError(
            f"{path} lacks '{name}' in {column.null_count:,} of {len(column):,} rows. Fill it in, or "
            "number the rows with `--columns id=#`."
        )
    return [str(value) for value in column.to_pylist()]


def _nth(text: str | list[str] | None, number: int) -> str | None:
    if not isinstance(text, list):
        return text or None
    return text[number] if number < len(text) else None


def _images(table: pa.Table, name: str | None, path: Path) -> list[Item | None]:
    if name is None:
        return [None] * table.num_rows
    column = table.column(name)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return list(column.to_pylist())
    if not _is_text(column.type):
        raise DataError(
            f"{path}: column '{name}' is of type {column.type}. An image column holds the bytes of "
            "image files, or their paths."
        )
    return [None if value is None else path.parent / value for value in column.to_pylist()]


def _texts(table: pa.Table, name: str, path: Path) -> list[str | list[str] | None]:
    column = table.column(name)
    listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not _is_text(column.type.value_type if listed else column.type):
        raise DataError(f"{path}: column '{name}' is of type {column.type}, not of texts.")
    return list(column.to_pylist())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _label(name: str, values: Sequence[Any]) -> Label:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, float) for value in known):
        return scores(name, values)
    if known and all(isinstance(value, int) for value in known):
        names = [str(value) for value in sorted(set(known))]
        return classes(name, [None if v is None else str(v) for v in values], names)
    return classes(name, [None if v is None else str(v) for v in values])
