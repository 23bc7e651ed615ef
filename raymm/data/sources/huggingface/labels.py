"""The labels of a folder that `datasets` wrote: `Labels`, and columns of single values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raymm.data.dataset import Label
from raymm.data.problems import Problems, some
from raymm.data.sources.huggingface.saved import FIELDS, LABELS, Saved
from raymm.data.sources.intake import Writer
from raymm.data.sources.labels import LabelColumns
from raymm.data.sources.manifest import Manifest
from raymm.data.sources.mosei.targets import TARGETS, write_targets
from raymm.data.sources.preparation import Notes
from raymm.data.sources.tables import Table, is_text
from raymm.errors import DataError

TUMOURS = (
    "ACC", "BLCA", "BRCA", "CESC", "CHOL", "COAD", "DLBC", "ESCA", "GBM", "HNSC", "KICH", "KIRC",
    "KIRP", "LAML", "LGG", "LIHC", "LUAD", "LUSC", "MESO", "OV", "PAAD", "PCPG", "PRAD", "READ",
    "SARC", "SKCM", "STAD", "TGCT", "THCA", "THYM", "UCEC", "UCS", "UVM",
)  # fmt: skip
"""What the places of the paper's one-hot labels of TCGA mean (its published notebook)."""
TCGA_INDEX = "tcga_index"
FEW = 100
"""A column of more different texts is no label."""


def write_labels(
    saved: Saved, ids: Sequence[str], id_column: str | None, writer: Writer, notes: Notes
) -> None:
    """Write all labels there are.

    Args:
        saved: the folder.
        ids: of its rows, in order.
        id_column: the column they are of, if they are of one.
        writer: where the labels go.
        notes: told of what was found.

    Raises:
        DataError: `Labels` holds lists of different lengths, or no numbers.
    """
    if LABELS in saved.schema.names:
        rows = _rows(saved)
        known = [row for row in range(saved.rows) if rows[row] is not None]
        names = [ids[row] for row in known]
        values = _singles(np.array([rows[row] for row in known], dtype=np.float64))
        notes.say(f"{LABELS}: {len(known):,} of {saved.rows:,} rows have labels.")
        if len(known):
            _write(saved, values, names, writer, notes)
    for label in _columns(saved, ids, id_column):
        writer.label(label, np.unique(ids).tolist())


def _columns(saved: Saved, ids: Sequence[str], id_column: str | None) -> list[Label]:
    """Columns of single numbers, or of a few texts; values in ascending order of the ids."""
    single = [
        entry.name
        for entry in saved.schema
        if entry.name != id_column
        and (
            pa.types.is_floating(entry.type)
            or pa.types.is_integer(entry.type)
            or (is_text(entry.type) and pc.count_distinct(saved.column(entry.name)).as_py() <= FEW)
        )
    ]
    table = pa.table({name: saved.column(name) for name in single})
    columns = LabelColumns(Table(saved.address, np.array(ids, np.str_), table), Manifest())
    labels = [columns.encode(name, np.unique(ids), Problems()) for name in single]
    return [label for label in labels if label is not None]


def _write(
    saved: Saved, values: NDArray[np.float32], ids: Sequence[str], writer: Writer, notes: Notes
) -> None:
    """`Labels` as classes, as CMU-MOSEI's scores, or as targets; values are (rows, numbers)."""
    width = values.shape[1]
    total = values.sum(axis=1)
    if width > 1 and np.isin(values, (0, 1)).all() and np.isin(total, (0, 1)).all():
        tumours = width == len(TUMOURS) and TCGA_INDEX in saved.schema.names
        words = TUMOURS if tumours else tuple(str(place) for place in range(width))
        codes = np.where(total == 1, values.argmax(axis=1), -1)
        used = np.unique(codes[codes >= 0])
        if len(used) < 2:
            notes.warn(f"{LABELS} are of {len(used)} class: there is no label.")
            return
        codes = np.where(codes >= 0, np.searchsorted(used, codes), -1).astype(np.int64)
        name = "tumour_type" if tumours else "label"
        classes = tuple(words[place] for place in used)
        writer.label(Label(name, "classification", codes, classes), ids, default=True)
        notes.say(f"{LABELS}: {len(classes):,} classes as the label '{name}'.")
    elif width == len(TARGETS):
        write_targets(values, ids, writer, notes)
        notes.say(f"{LABELS}: CMU-MOSEI's {', '.join(TARGETS)}.")
    else:
        for place in range(width):
            name = "label" if width == 1 else f"label_{place}"
            writer.label(Label(name, "regression", values[:, place].copy(), ()), ids)
        notes.say(f"{LABELS}: {width:,} targets.")


def _singles(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Float32, with NaN for what is not finite or too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        singles = values.astype(np.float32)
    singles[~np.isfinite(singles)] = np.nan
    return singles


def _rows(saved: Saved) -> list[list[float] | None]:
    """The numbers of each row, however deep they are nested."""
    rows: list[list[float] | None] = []
    for value in saved.column(LABELS).to_pylist():
        while isinstance(value, dict):
            inside = [value[name] for name in FIELDS if name in value]
            value = inside[0] if len(inside) == 1 else None
        while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        rows.append([value] if isinstance(value, (int, float)) else value)
    widths = {len(row) for row in rows if row is not None and isinstance(row, list)}
    numbers = all(
        isinstance(number, (int, float)) for row in rows if row is not None for number in row
    )
    if len(widths) > 1 or not numbers:
        raise DataError(
            f"{saved.address}: {LABELS} should hold numbers, as many in each row; the rows hold "
            f"{some(sorted(widths))}."
        )
    return rows
