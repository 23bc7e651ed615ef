"""Files as streams: plain and gzipped, cut, damaged, and from an address that is no path."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import fsspec
import pytest

from raymm.data.sources.place import open_place
from raymm.data.sources.stream import Source
from raymm.errors import DataError

TEXT = b"".join(b"line %d\t%d\n" % (number, number) for number in range(20_000))


def source(folder: Path, content: bytes, name: str = "a.tsv") -> Source:
    (folder / name).write_bytes(content)
    return Source(open_place(str(folder)), name)


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_gzip_is_known_by_its_content_not_by_its_name(tmp_path: Path, name: str) -> None:
    assert source(tmp_path, TEXT, name).content() == TEXT
    assert source(tmp_path, gzip.compress(TEXT), name).content() == TEXT
    halves = gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])
    assert source(tmp_path, halves, name).content() == TEXT


def test_progress_counts_the_bytes_of_the_file_as_it_lies_there(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    read: list[int] = []
    file = source(tmp_path, packed)
    file.content(read.append)
    assert sum(read) == len(packed) == file.size()


def test_lines_and_what_follows_them(tmp_path: Path) -> None:
    with source(tmp_path, b"one\r\ntwo\nrest of it").open() as stream:
        assert [stream.line(100), stream.line(100)] == [b"one", b"two"]
        assert stream.read(4) + stream.read(-1) == b"rest of it"
        assert stream.last == b"t"
    with (
        source(tmp_path, b"x" * 3_000_000).open() as stream,
        pytest.raises(DataError, match="more than"),
    ):
        stream.line(100)


@pytest.mark.parametrize("cut", [10, 1_000, 20_000, -1, -8])
def test_a_cut_gzip_file_is_an_error(tmp_path: Path, cut: int) -> None:
    with pytest.raises(DataError, match=r"a\.tsv cannot be read.*copy or download it again"):
        source(tmp_path, gzip.compress(TEXT)[:cut]).content()


def test_a_flipped_bit_in_a_gzip_file_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    for place in range(20, len(packed), len(packed) // 20):
        damaged = packed.copy()
        damaged[place] ^= 4
        with pytest.raises(DataError):
            source(tmp_path, bytes(damaged)).content()


def test_other_packings_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a bzip2 file"):
        source(tmp_path, bz2.compress(TEXT)).content()


def test_an_address_of_fsspec_is_read_as_a_path_is() -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/stream/a.tsv.gz", gzip.compress(TEXT))
    assert Source(open_place("memory://stream"), "a.tsv.gz").content() == TEXT
