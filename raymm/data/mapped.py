"""A file that is mapped into memory instead of being read."""

from __future__ import annotations

import mmap
from pathlib import Path

import pyarrow as pa

from raymm.errors import DataError

RESIDENT_BYTES = 128 * 2**20
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
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be mapped into memory: {error}. Check that it is there and that "
                "you may read it, or pack the data set again."
            ) from error
        self._read = 0

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
