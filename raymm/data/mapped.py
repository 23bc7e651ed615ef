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

RESIDENT_BYTES = 32 * 2**20
"""Bytes read through a map before its pages are let go."""


class MappedFile:
    """A read-only map, shared by all processes of a node, whose resident share stays small.

    Pages that were read count as this process's memory until the system wants them back, which it
    does only when memory runs short. So they are let go every now and then: they stay in the page
    cache, and reading them again costs a minor fault. Nobody's data change.
    """

    def __init__(self, path: Path) -> None:
        """Map a file.

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
        self._start = np.frombuffer(self._map, dtype=np.uint8).ctypes.data

    def buffer(self) -> pa.Buffer:
        """The bytes of the file, without a copy."""
        return pa.py_buffer(self._map)

    def count(self, size: int) -> None:
        """Say that `size` more bytes were read through the map."""
        self._read += size
        if self._read > RESIDENT_BYTES:
            self._read = 0
            # On a shared, read-only map this only drops the pages from the process.
            self._map.madvise(mmap.MADV_DONTNEED)

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
