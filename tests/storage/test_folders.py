"""Folders at an address, copied to this machine; a local folder stands in for a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raymm.errors import StorageError
from raymm.storage import address, folders
from raymm.storage.folders import fetched, here


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "there"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "inner" / "b.txt").write_text("bb")
    (folder / "empty.txt").write_text("")
    return folder


def copies(there: Path) -> list[Path]:
    return [path for path in (there.parent / "cache" / "packed").iterdir() if path.is_dir()]


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_a_folder_is_copied_once_under_its_name(there: Path) -> None:
    first, second = fetched(f"file://{there}"), fetched(f"file://{there}/")
    assert content(first.path) == content(there) and len(content(there)) == 3
    assert first.path.name == "there" and len(copies(there)) <= 2
    again = fetched(f"file://{there}")
    assert again.path == first.path and content(second.path) == content(there)


def test_a_file_is_copied_under_its_name(there: Path) -> None:
    copy = fetched(f"file://{there}/inner/b.txt")
    assert copy.path.name == "b.txt" and copy.path.read_text() == "bb"


def test_what_has_changed_is_copied_again(there: Path) -> None:
    first = fetched(f"file://{there}")
    (there / "a.txt").write_text("c")
    os.utime(there / "a.txt", (1, 1))
    assert (fetched(f"file://{there}").path / "a.txt").read_text() == "c"
    assert (first.path / "a.txt").read_text() == "a"  # it is held


def test_what_changes_while_it_is_copied_is_refused(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = address.download

    def and_changed(system: Any, path: str, to: Path, progress: Callable[[int], None]) -> None:
        copied(system, path, to, progress)
        (there / "new.txt").write_text("new")

    monkeypatch.setattr(folders, "download", and_changed)
    with pytest.raises(StorageError, match="changed while it was copied"):
        fetched(f"file://{there}")
    assert copies(there) == []


def test_a_file_that_arrives_short_is_refused(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "download", lambda system, path, to, progress: to.write_bytes(b""))
    with pytest.raises(StorageError, match="arrived with 0 bytes of"):
        fetched(f"file://{there}")
    assert copies(there) == []


def test_nothing_is_said(there: Path) -> None:
    with pytest.raises(StorageError, match="There is nothing at file://"):
        fetched(f"file://{there}/nobody")


def test_here_is_a_local_folder_itself_or_a_copy(there: Path) -> None:
    with here(str(there)) as folder:
        assert folder == there
    with here(f"file://{there}") as folder:
        assert folder != there and content(folder) == content(there)
