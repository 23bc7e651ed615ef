"""A data set that is put together in memory, the way `PackWriter` puts one together on disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Kind, Label, Modality
from raymm.data.fingerprint import fingerprint
from raymm.data.pack_writer import aligned
from raymm.data.packed import restricted
from raymm.errors import DataError, nearest


class MemoryWriter:
    """Takes a data set up part by part; see `raymm.data.pack.PackWriter` for its methods."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[Kind, tuple[str, ...]]] = {}
        self._ids: dict[str, list[str]] = {}
        self._values: dict[str, list[NDArray[np.float32]]] = {}
        self._lengths: dict[str, list[int]] = {}
        self._labels: list[tuple[Label, NDArray[np.str_]]] = []
        self._default: str | None = None

    def modality(self, name: str, kind: Kind, columns: Sequence[str]) -> None:
        """Begin a modality."""
        self._kinds[name] = (kind, tuple(columns))
        self._ids[name], self._values[name], self._lengths[name] = [], [], []

    def append(
        self,
        modality: str,
        ids: Sequence[str],
        values: NDArray[np.float32],
        lengths: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Add rows of a modality, ascending by id."""
        self._ids[modality] += ids
        self._values[modality].append(values)
        self._lengths[modality] += [] if lengths is None else [int(length) for length in lengths]

    def label(self, label: Label, ids: Sequence[str], *, default: bool = False) -> None:
        """Add a label."""
        self._labels.append((label, np.array(ids, np.str_)))
        if default or len(self._labels) == 1:
            self._default = label.name

    def dataset(
        self, name: str, modalities: Sequence[str] = (), label: str | None = None
    ) -> Dataset:
        """The data set.

        Args:
            name: of it.
            modalities: modalities used, in this order; empty means all as they came.
            label: one of the labels; None means the default.

        Raises:
            DataError: a modality or the label is unknown, or there is no modality.
        """
        used = {key: self._ids[key] for key in self._kinds if self._ids[key]}
        for key in modalities:
            if key not in used:
                raise DataError(f"{name} has no modality '{key}': {nearest(key, used)}")
        names = tuple(modalities) or tuple(used)
        if not names or len(set(names)) < len(names):
            raise DataError(f"The modalities {names} of {name} should be one or more, each once.")
        ids = np.unique(np.concatenate([np.array(used[key], np.str_) for key in used]))
        found = [self._modality(key, ids) for key in names]
        known = {each.name: (each, own) for each, own in self._labels}
        chosen = label or self._default
        if chosen is not None and chosen not in known:
            raise DataError(f"{name} has no label '{chosen}': {nearest(chosen, known)}")
        target = None if chosen is None else aligned(*known[chosen], ids)
        if len(names) < len(used):
            ids, found, target = restricted(ids, found, target)
        return Dataset(name, ids, tuple(found), target, fingerprint(ids, found, target))

    def _modality(self, name: str, ids: NDArray[np.str_]) -> Modality:
        kind, columns = self._kinds[name]
        rows = np.searchsorted(ids, np.array(self._ids[name], np.str_)).astype(np.int64)
        offsets = None
        if kind == "sequence":
            offsets = np.concatenate([[0], np.cumsum(self._lengths[name])]).astype(np.int64)
        return Modality(name, kind, rows, np.concatenate(self._values[name]), offsets, columns)
