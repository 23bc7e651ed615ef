"""A data set: modalities with holes, keyed by sample id. Everything a source returns.

Rows exist only for samples that have the modality; a sample without it simply has no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["table", "sequence"]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class ModalitySpec:
    """What a model must know of a modality to build its parameters.

    Attributes:
        width: columns of a table, components of a sequence's vectors.
        max_length: most tokens a sample has: the columns of a table, the longest sequence.
        has_missing: whether any present row of a table lacks a value.
    """

    name: str
    kind: Kind
    width: int
    max_length: int
    has_missing: bool = False


@dataclass(frozen=True)
class Modality:
    """One source of a data set: a table of features, or a sequence of vectors.

    Attributes:
        name: as the user named it.
        kind: "table" (one row of numbers a sample) or "sequence" (some vectors a sample).
        rows: (n,) sample index of each present row, ascending.
        values: (n, columns) for a table, (total vectors, width) for a sequence, float32;
            NaN is a value missing inside a present row.
        offsets: (n + 1,) first vector of each row of a sequence; None for a table.
        columns: names of the columns, or of the vectors' components.
    """

    name: str
    kind: Kind
    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64] | None
    columns: tuple[str, ...]

    @property
    def width(self) -> int:
        """Columns of a table, components of a sequence's vectors."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Label:
    """What the probes predict.

    Attributes:
        values: (samples,) class codes as int64 (-1: unlabelled), or float32 targets
            (NaN: unlabelled).
        classes: class names in code order; empty for regression.
    """

    name: str
    task: Task
    values: NDArray[np.int64] | NDArray[np.float32]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Samples, their modalities and a label.

    Attributes:
        ids: (samples,) sample ids as strings, unique, in ascending order.
        fingerprint: hash of the ids, the modalities in use with their values, and the label.
        licence: under which the data may be used; empty if nobody said.
    """

    name: str
    ids: NDArray[np.str_]
    modalities: tuple[Modality, ...]
    label: Label | None
    fingerprint: str
    licence: str = ""

    def presence(self) -> NDArray[np.bool_]:
        """Which sample has which modality, (samples, modalities)."""
        present = np.zeros((len(self.ids), len(self.modalities)), dtype=np.bool_)
        for column, modality in enumerate(self.modalities):
            present[modality.rows, column] = True
        return present
