"""Packed sets at an address: one checked copy for each machine."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from raymm.data.pack_writer import PackWriter
from raymm.data.packed import is_packed, open_packed
from raymm.data.sources import load_dataset
from raymm.errors import DataError


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    pack(tmp_path / "there", 0)
    return f"file://{tmp_path}/there"


def pack(folder: Path, seed: int) -> None:
    with PackWriter(folder, name="there") as writer:
        writer.modality("audio", "table", ["0", "1"])
        values = np.random.default_rng(seed).normal(size=(3, 2)).astype(np.float32)
        writer.append("audio", ["a", "b", "c"], values)


def copies(address: str) -> list[Path]:
    found = Path(address.removeprefix("file://")).parent.glob("copies/packed/*")
    return sorted(path for path in found if path.is_dir())


def test_it_is_the_same_set(address: str) -> None:
    here, there = open_packed(address.removeprefix("file://")), load_dataset(address)
    assert there.fingerprint == here.fingerprint and is_packed(address)
    assert np.array_equal(there.modalities[0].values, here.modalities[0].values)


def test_it_is_copied_once_also_for_workers(address: str) -> None:
    first = open_packed(address)
    (copy,) = copies(address)
    before = copy.stat().st_ino
    worker = pickle.loads(pickle.dumps(first))
    assert worker.fingerprint == first.fingerprint
    assert [path.stat().st_ino for path in copies(address)] == [before]


def test_a_set_that_was_packed_again_is_copied_again(address: str, tmp_path: Path) -> None:
    first = open_packed(address)
    (tmp_path / "there").rename(tmp_path / "old")
    pack(tmp_path / "there", 1)
    assert open_packed(address).fingerprint != first.fingerprint
    with pytest.raises(DataError, match="holds another data set"):
        pickle.loads(pickle.dumps(first))


def test_a_copy_that_came_out_wrong_is_refused(address: str, tmp_path: Path) -> None:
    path = tmp_path / "there" / "modalities" / "audio.arrow"
    content = path.read_bytes()
    value = open_packed(str(tmp_path / "there")).modalities[0].values[1].tobytes()
    path.write_bytes(content.replace(value, b"\0\0\x80?" * 2))
    with pytest.raises(DataError, match="the values of 'audio' are not those that were packed"):
        open_packed(address)
    assert copies(address) == []


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    assert not is_packed(f"file://{tmp_path}/nothing")
    with pytest.raises(DataError, match="cannot be copied to this machine"):
        open_packed(f"file://{tmp_path}/nothing")
