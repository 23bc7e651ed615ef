"""Damaged downloads of the papers' data sets: read rightly or refused, and nothing is left behind.

A file that was cut is always refused, where its form can tell: gzip, HDF5 and Arrow have an end, a
text has the end of its last line. A changed byte in gzip is refused by its checksum. What changes a
digit of a plain text, or a number in HDF5 or Arrow, nobody can see.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.sources import load_dataset
from raymm.data.sources.huggingface.prepare import prepare_huggingface
from raymm.data.sources.mosei.prepare import prepare_mosei
from raymm.data.sources.physionet2012.prepare import prepare_physionet2012
from raymm.data.sources.preparation import Prepared
from raymm.data.sources.tcga.prepare import prepare_tcga
from raymm.errors import DataError
from tests.data.sources import test_physionet2012
from tests.data.sources.huggingface import folders
from tests.data.sources.mosei import files
from tests.data.sources.tcga import tables

READERS: dict[str, Callable[[str, str], Prepared]] = {
    "xena": prepare_tcga,
    "gdc": prepare_tcga,
    "mosei": prepare_mosei,
    "huggingface": prepare_huggingface,
    "physionet2012": prepare_physionet2012,
}
UNREAD = ("dataset_info.json",)


@cache
def original(kind: str) -> dict[str, bytes]:
    """File name -> content of a small download."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "download")
        if kind == "xena":
            tables.xena(folder, 20, 6)
        elif kind == "gdc":
            tables.gdc(folder, 20, 6)
        elif kind == "mosei":
            files.aligned(folder, 4)
        elif kind == "huggingface":
            folders.save(folder, folders.tcga(20), 2)
        else:
            test_physionet2012.layout(folder, "zip", 6)
        return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in UNREAD}


def read(kind: str, contents: dict[str, bytes]) -> str | None:
    """The fingerprint, or None if it was refused; anything but a DataError fails the test."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "download")
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        to = Path(scratch, "packed")
        try:
            READERS[kind](str(folder), str(to))
        except DataError:
            assert sorted(path.name for path in Path(scratch).iterdir()) == ["download"]
            return None
        fingerprint = load_dataset(str(to)).fingerprint
        shutil.rmtree(to)
        return fingerprint


@cache
def expected(kind: str) -> str | None:
    return read(kind, original(kind))


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=25, deadline=10_000)
@given(data=st.data())
def test_a_cut_file_is_refused(kind: str, data: st.DataObject) -> None:
    assert expected(kind) is not None
    name = data.draw(st.sampled_from(sorted(original(kind))))
    content = original(kind)[name]
    size = data.draw(st.integers(0, len(content) - 1))
    if size and content[:size].endswith(b"\n") and b"\0" not in content:
        return  # a text that is cut between two lines is a shorter text
    assert read(kind, {**original(kind), name: content[:size]}) is None


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=25, deadline=10_000)
@given(data=st.data())
def test_changed_bytes_are_refused_or_change_a_value(kind: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(original(kind))))
    content = bytearray(original(kind)[name])
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    found = read(kind, {**original(kind), name: bytes(content)})
    if name.endswith((".gz", ".zip")) and found is not None:
        assert found == expected(kind)


@pytest.mark.parametrize("kind", READERS)
def test_an_empty_file_is_refused(kind: str) -> None:
    for name in original(kind):
        assert read(kind, {**original(kind), name: b""}) is None
