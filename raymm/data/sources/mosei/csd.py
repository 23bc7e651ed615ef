"""Computational sequences: the CMU Multimodal SDK's HDF5 files.

    <root name>/data/<video id>[<segment>]/features     (vectors, width)
                                          /intervals    (vectors, 2) seconds
                /metadata/<key>                         a text of JSON

The SDK calls a file aligned once its keys are segments, `video[3]`, not whole videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raymm.data.sources.stream import Source
from raymm.errors import DataError
from raymm.storage.address import words

DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, UnicodeError)
"""What h5py raises where a file is damaged, or is no computational sequence."""


class Csd:
    """An open file.

    Attributes:
        where: its address, for messages.
        keys: of the segments, ascending as texts.
    """

    def __init__(self, where: str, data: Any) -> None:
        self.where, self._data = where, data
        self.keys: list[str] = sorted(data.keys())

    def read(self, key: str) -> NDArray[np.generic]:
        """The features of a segment, (vectors, width).

        Raises:
            DataError: they are damaged, are no numbers, or do not fit their intervals.
        """
        where = f"{self.where}: segment '{key}'"
        with told(where):
            features, intervals = self._data[key]["features"], self._data[key]["intervals"]
            shape, count = features.shape, intervals.shape[0]
            values = np.asarray(features[()])
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise DataError(
                f"{where} holds features of type {values.dtype} and shape {shape}. They should be "
                "numbers of shape (vectors, width): is this the right file?"
            )
        if count != len(values):
            raise DataError(
                f"{where} has {len(values):,} vectors and {count:,} intervals. The file is damaged: "
                "make or download it again."
            )
        return values

    def width(self) -> int:
        """Width of the first segment's vectors.

        Raises:
            DataError: there is no segment, or it is damaged.
        """
        if not self.keys:
            raise DataError(f"{self.where} holds no segments. Make or download it again.")
        return int(self.read(self.keys[0]).shape[1])


@contextmanager
def open_csd(source: Source) -> Iterator[Csd]:
    """Open a computational sequence, wherever it lies.

    Raises:
        DataError: it is cut, damaged or something else; h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "CMU-MOSEI's files are HDF5: install h5py with `pip install 'raymm[mosei]'`."
        ) from error
    with ExitStack() as stack:
        with told(source.where):
            local = source.place.local(source.name)
            opened: Any = local
            if local is None:
                opened = source.place.stream(source.name)
                stack.callback(opened.close)
            file = stack.enter_context(h5py.File(opened, "r"))
            roots = list(file.keys())
            if len(roots) != 1:
                raise ValueError(f"it has {len(roots)} root groups, not 1")
            csd = Csd(source.where, file[roots[0]]["data"])
        yield csd


@contextmanager
def told(where: str) -> Iterator[None]:
    """Tells what h5py raises as an error of the data."""
    try:
        yield
    except DAMAGE as error:
        raise DataError(
            f"{where} cannot be read: {words(error)}. It is cut, damaged, or no computational "
            "sequence: download it again, or make it with the CMU Multimodal SDK."
        ) from error
