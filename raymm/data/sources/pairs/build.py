"""Rows as a reader finds them, to a set of pairs: sorted by id, without what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label
from raymm.data.problems import some
from raymm.data.sources.pairs.pairs import Domain, Item, Items, Pairs
from raymm.errors import DataError


@dataclass(frozen=True)
class Column:
    """A modality as it was read: an item, or None, for each row."""

    domain: Domain
    values: Sequence[Item | None]


def build(
    name: str,
    ids: Sequence[str],
    columns: Mapping[str, Column],
    *,
    labels: Sequence[Label] = (),
    groups: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    licence: str = "",
    warnings: Sequence[str] = (),
) -> Pairs:
    """A set of pairs from rows in any order.

    Args:
        name: of the set.
        ids: of the rows.
        columns: modality -> its items.
        labels: in the order of the rows.
        groups: of each row.
        splits: official split of each row.
        licence: of the set.
        warnings: what was odd.

    Raises:
        DataError: an id is there twice, or there are no rows.
    """
    if not ids:
        raise DataError(f"{name} holds no samples. Check that the folder is the right one.")
    known = np.array(ids, dtype=np.str_)
    order = np.argsort(known, kind="stable")
    known = known[order]
    twice = np.unique(known[1:][known[1:] == known[:-1]])
    if len(twice):
        raise DataError(
            f"{name} has {len(twice):,} ids more than once: {some(twice)}. Give each sample an id "
            "of its own; a table's rows are numbered with `--columns id=#`."
        )
    return Pairs(
        name=name,
        ids=known,
        items=tuple(_items(each, column, order) for each, column in columns.items()),
        labels=tuple(Label(lab.name, lab.task, lab.values[order], lab.classes) for lab in labels),
        groups=None if groups is None else np.array(groups, dtype=np.str_)[order],
        splits=None if splits is None else np.array(splits, dtype=np.str_)[order],
        licence=licence,
        warnings=tuple(warnings),
    )


def _items(name: str, column: Column, order: NDArray[np.int64]) -> Items:
    rows, values = [], []
    for place, row in enumerate(order):
        value = column.values[int(row)]
        if value is not None:
            rows.append(place)
            values.append(value)
    return Items(name, column.domain, np.array(rows, dtype=np.int64), values)


def classes(name: str, values: Sequence[str | None], names: Sequence[str] | None = None) -> Label:
    """A label of classes.

    Args:
        name: of the label.
        values: class of each row; None is unlabelled.
        names: all classes in code order; those that occur, ascending, if not given.
    """
    known = sorted({value for value in values if value is not None}) if names is None else names
    codes = {value: code for code, value in enumerate(known)}
    numbers = [-1 if value is None else codes[value] for value in values]
    return Label(name, "classification", np.array(numbers, dtype=np.int64), tuple(known))


def scores(name: str, values: Sequence[float | None]) -> Label:
    """A label of numbers; None is unlabelled."""
    numbers = [np.nan if value is None else value for value in values]
    return Label(name, "regression", np.array(numbers, dtype=np.float32), ())


def text_names(count: int) -> list[str]:
    """Names of a set's texts: 'text', or 'text_a', 'text_b', ... if there are several."""
    return ["text"] if count == 1 else [f"text_{chr(ord('a') + place)}" for place in range(count)]
