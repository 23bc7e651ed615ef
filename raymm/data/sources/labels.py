"""A label column to class codes or targets, for the samples that a data set has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raymm.data.dataset import Label, Task
from raymm.data.problems import Problems, some
from raymm.data.sources.manifest import Manifest
from raymm.data.sources.tables import Table, is_text
from raymm.errors import DataError, nearest

MOST_CLASSES = 20
"""Whole numbers with more distinct values than this are taken for a quantity, not for classes."""


@dataclass(frozen=True)
class LabelColumns:
    """The labels file of a folder.

    Attributes:
        table: ids and label columns.
        manifest: names the default column, its task and its classes.
    """

    table: Table
    manifest: Manifest

    def choose(self, asked: str | None) -> str | None:
        """The column asked for, the manifest's, or the only one; None if the user must choose.

        Raises:
            DataError: the column is unknown, or there is none.
        """
        names = self.table.columns.column_names
        if not names:
            raise DataError(
                f"{self.table.where} has no column besides the sample id. Add the label column."
            )
        wanted = asked or self.manifest.label
        if wanted is None:
            return str(names[0]) if len(names) == 1 else None
        if wanted not in names:
            raise DataError(
                f"{self.table.where} has no label column '{wanted}': {nearest(wanted, names)}"
            )
        return wanted

    def encode(self, column: str, ids: NDArray[np.str_], problems: Problems) -> Label | None:
        """The label of each sample, noting what is wrong; None if the column cannot be used.

        Args:
            column: a column of the table.
            ids: (samples,) ids of the data set, ascending.
            problems: what is wrong is added to it.
        """
        where = f"{self.table.where}: label '{column}'"
        own = column == self.manifest.label
        rows = _rows_of(ids, self.table.ids)
        if not (rows >= 0).any():
            problems.error(
                f"{self.table.where}: none of its {len(self.table.ids):,} ids is a sample's. It "
                f"has {some(self.table.ids, 2)}; the samples are {some(ids, 2)}. Use the same ids "
                "in all tables."
            )
            return None
        strangers = len(self.table.ids) - int((rows >= 0).sum())
        if strangers:
            problems.warning(
                f"{self.table.where}: {strangers:,} of its {len(self.table.ids):,} ids have none "
                "of the modalities in use and play no part."
            )
        values = _decoded(self.table.columns.column(column))
        found = values.take(pa.array(rows, mask=rows < 0))
        try:
            task = (self.manifest.task if own else None) or _guess(found, where)
            if task == "regression":
                return _targets(column, found, where)
            names = self.manifest.classes if own else {}
            return _classes(column, found, names, where, problems)
        except DataError as error:
            problems.error(str(error))
            return None


def _rows_of(ids: NDArray[np.str_], table_ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """Row of the table for each sample, (samples,); -1 where it has none."""
    order = np.argsort(table_ids)
    if not len(order):
        return np.full(len(ids), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(table_ids, ids, sorter=order), len(order) - 1)
    rows: NDArray[np.int64] = np.where(table_ids[order[place]] == ids, order[place], -1)
    return rows


def _decoded(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _guess(values: pa.Array, where: str) -> Task:
    """Text, booleans and few distinct whole numbers are classes; other numbers are targets."""
    kind = values.type
    if pa.types.is_null(kind):
        raise DataError(f"{where} is empty for every sample. Fill it or choose another column.")
    if pa.types.is_boolean(kind) or is_text(kind):
        return "classification"
    if pa.types.is_integer(kind):
        distinct = pc.count_distinct(values, mode="only_valid").as_py()
        return "classification" if distinct <= MOST_CLASSES else "regression"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "regression"
    raise DataError(
        f"{where} is of type {kind}. A label is text, true / false or a number: convert the column."
    )


def _targets(name: str, values: pa.Array, where: str) -> Label:
    if is_text(values.type):
        raise DataError(
            f"{where} is text, but its task is regression. Use numbers, or task = 'classification'."
        )
    targets = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(targets).any():
        count = int(np.isinf(targets).sum())
        raise DataError(
            f"{where} is infinite for some samples ({count:,}). Give numbers, or nothing."
        )
    known = targets[~np.isnan(targets)]
    if not len(known) or (known == known[0]).all():
        seen = f"is {known[0]:g} for every sample" if len(known) else "is empty for every sample"
        raise DataError(f"{where} {seen}: there is nothing to predict. Choose another column.")
    return Label(name, "regression", targets.astype(np.float32), ())


def _classes(
    name: str, values: pa.Array, names: Mapping[str, str], where: str, problems: Problems
) -> Label:
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    unlabelled = values.is_null().to_numpy(zero_copy_only=False)
    distinct = sorted(pc.unique(values.drop_null()).to_pylist())
    if len(distinct) < 2:
        seen = f"has one class only, '{distinct[0]}'" if distinct else "is empty"
        raise DataError(f"{where} {seen} for every sample: nothing to tell apart. Choose another.")
    codes = pc.fill_null(pc.index_in(values, pa.array(distinct, type=values.type)), -1)
    codes = codes.to_numpy().astype(np.int64)
    spelled = [_spelled(value) for value in distinct]
    unknown = [value for value in spelled if names and value not in names]
    if unknown:
        raise DataError(
            f"{where} takes the values {some(unknown)}, which [label.classes] in dataset.toml does "
            f"not name. It names {some(sorted(names))}: add the missing ones."
        )
    counts = np.bincount(codes[~unlabelled], minlength=len(distinct))
    rare = [spelled[code] for code in np.flatnonzero(counts < 10)]
    if rare:
        problems.warning(
            f"{where}: {len(rare):,} of {len(spelled):,} classes have fewer than 10 samples, a "
            f"split may lack them: {some(rare)}."
        )
    return Label(name, "classification", codes, tuple(names.get(value, value) for value in spelled))


def _spelled(value: object) -> str:
    """A class value as text, the way dataset.toml names it: 1, 1.5, true, ward."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
