"""A text file of any size, plain or gzipped, read once from front to back wherever fsspec reaches."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raymm.data.sources.place import Place
from raymm.errors import DataError
from raymm.storage.address import words

GZIP = b"\x1f\x8b"
PACKED = {b"PK": "zip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}
"""First bytes of packed files that have to be unpacked first."""
READ_BYTES = 2**20

Progress = Callable[[int], None]
"""Is told how many bytes of a file, as it lies there, were just read."""


def silent(size: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class Source:
    """A file of a folder."""

    place: Place
    name: str

    @property
    def where(self) -> str:
        """Its address, for messages."""
        return f"{self.place.address}/{self.name}"

    def size(self) -> int | None:
        """Its bytes as it lies there; None where nobody says."""
        return self.place.size(self.name)

    @contextmanager
    def open(self, progress: Progress = silent) -> Iterator[Stream]:
        """Its text as bytes, unpacked.

        Raises:
            DataError: it cannot be read, is cut or damaged, or is packed in another way than gzip.
        """
        raw = self.place.stream(self.name)
        try:
            counted = io.BufferedReader(_Counted(raw, progress), READ_BYTES)
            start = counted.peek(2)[:2]
            if start in PACKED:
                raise DataError(f"{self.where} is a {PACKED[start]} file. Unpack it first.")
            text = pa.PythonFile(counted, mode="r")
            packed = start == GZIP
            yield Stream(pa.CompressedInputStream(text, "gzip") if packed else text)
        except (OSError, EOFError, pa.ArrowException) as error:
            raise DataError(
                f"{self.where} cannot be read: {words(error)}. If the file is cut or damaged, copy "
                "or download it again."
            ) from error
        finally:
            raw.close()

    def content(self, progress: Progress = silent) -> bytes:
        """All of its text.

        Raises:
            DataError: as for `open`.
        """
        with self.open(progress) as stream:
            return stream.read(-1)


class Stream(io.RawIOBase):
    """Bytes that remember how they ended, so that a text which stops inside a line is seen."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._held = b""
        self.last = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; all that are left for a negative size."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        if self._held:
            part, self._held = self._held[:size], self._held[size:]
        else:
            part = self._file.read(size)
        self.last = part[-1:] or self.last
        return bytes(part)

    def line(self, longest: int) -> bytes:
        """The next line without its end; b"" at the end of the file.

        Raises:
            DataError: it is longer than `longest`.
        """
        parts, size = [], 0
        while part := self.read(READ_BYTES):
            found, end, rest = part.partition(b"\n")
            parts.append(found)
            if end:
                self._held = rest + self._held
                break
            if (size := size + len(found)) > longest:
                raise DataError(f"A line has more than {longest:,} bytes. Is this a table?")
        return b"".join(parts).removesuffix(b"\r")

    def blocks(self, size: int, longest: int) -> Iterator[bytes]:
        """All that is left, in blocks of whole lines; the last one may lack its line end.

        Args:
            size: of a block, about.
            longest: bytes of a line.

        Raises:
            DataError: a line is longer.
        """
        rest: list[bytes] = []
        held = 0
        while part := self.read(min(size, READ_BYTES)):
            end = part.rfind(b"\n") + 1
            held += len(part)
            if end and held >= size:
                yield b"".join([*rest, part[:end]])
                rest, held = [part[end:]], len(part) - end
            else:
                rest.append(part)
            if not end and held > longest:
                raise DataError(f"A line has more than {longest:,} bytes. Is this a table?")
        if held:
            yield b"".join(rest)

    def seekable(self) -> bool:
        """Never."""
        return False


def ahead(items: Iterator[bytes]) -> Iterator[bytes]:
    """The same items; each is read in another thread while the caller works on the one before."""
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = executor.submit(next, items, None)
            yield item


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: Any, progress: Progress) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            part = self._file.read(len(buffer))
        except OSError:
            raise
        except Exception as error:  # storage clients raise errors of many families
            raise OSError(words(error)) from error
        buffer[: len(part)] = part
        self._progress(len(part))
        return len(part)
