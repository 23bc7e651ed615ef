"""A file that is mapped into memory instead of being read."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raymm.errors import DataError

RESIDENT_BYTES = 2**30
"""Bytes of a data set that stay mapped at most; rows of larger files are read past the map."""
SWEEP_BYTES = 32 * 2**20
"""Bytes of a larger file that are read through its map before the pages are let go."""


class MappedFile:
    """A read-only map, shared by all processes of a node, whose resident share stays small.

    Pages that were read count as this process's memory until the system wants them back, which it
    does only when memory runs short. A small file keeps them, so that its rows are at hand as if
    they were in memory. Those of a large one are let go while it is read from front to back (they
    stay in the page cache), and single rows of it are read past the map: a call costs a quarter of
    the page fault, and of letting the page go again. Nobody's data change.

    Attributes:
        path: of the file.
        small: whether it is a small one, whose rows are best taken from the map.
    """

    def __init__(self, path: Path, resident: int = RESIDENT_BYTES) -> None:
        """Map a file.

        Args:
            path: of the file.
            resident: bytes that it may keep mapped; it is small if it has no more.

        Raises:
            DataError: it is not there, is empty, or cannot be mapped.
        """
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be mapped into memory: {error}. Check that it is there and that "
                "you may read it, or pack the data set again."
            ) from error
        self._read = 0
        self.small = len(self._map) <= resident
        self._start = np.frombuffer(self._map, dtype=np.uint8).ctypes.data

    def buffer(self) -> pa.Buffer:
        """The bytes of the file, without a copy."""
        return pa.py_buffer(self._map)

    def count(self, size: int) -> None:
        """Say that `size` more bytes were read through the map."""
        self._read += size
        if self._read > SWEEP_BYTES and not self.small:
            self._read = 0
            # On a shared, read-only map this only drops the pages from the process.
            self._map.madvise(mmap.MADV_DONTNEED)

    def gather(self, values: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float32]:
        """A copy of some rows of a large file, index.shape + (w,), read past the map.

        Args:
            values: (n, w) view of the map.
            index: places of the rows, of any shape.

        Raises:
            DataError: the file has become shorter.
        """
        width = values.strides[0]
        first = values.ctypes.data - self._start
        out = np.empty((*index.shape, values.shape[1]), np.float32)
        target = memoryview(out.data).cast("B")
        for place, row in enumerate(index.ravel().tolist()):
            part = target[place * width : (place + 1) * width]
            if os.preadv(self._file, [part], first + row * width) < width:
                self.read(values, row, out.reshape(-1, values.shape[1])[place])
        return out

    def read(self, values: NDArray[np.float32], first: int, out: NDArray[np.float32]) -> None:
        """Copy consecutive rows from the file, past the map: a page fault costs more than a call.

        Args:
            values: (n, w) view of the map.
            first: row to begin with.
            out: (rows, w) contiguous, is filled.

        Raises:
            DataError: the file has become shorter.
        """
        place = values.ctypes.data - self._start + first * values.strides[0]
        target = memoryview(out.data).cast("B")
        while len(target):
            count = os.preadv(self._file, [target], place)
            if not count:
                raise DataError(f"{self.path} was cut while it was in use. Pack the set again.")
            place, target = place + count, target[count:]
