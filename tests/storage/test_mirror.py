"""Working copies of folders at an address."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from raymm.storage.address import joined, open_address
from raymm.storage.mirror import names_in, publish, working_folder


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "cache"))
    return f"memory://{uuid.uuid4().hex}/results/digits"


def there(address: str) -> dict[str, bytes]:
    system, root = open_address(address)
    found: dict[str, Any] = system.find(root, detail=True)
    return {path[len(root) + 1 :]: system.cat_file(path) for path in found}


def put(address: str, content: bytes) -> None:
    system, path = open_address(address)
    system.pipe_file(path, content)


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    assert working_folder(str(tmp_path)) == tmp_path
    (tmp_path / "a.csv").write_text("x")
    assert publish(tmp_path) == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_is_written_is_uploaded(address: str) -> None:
    folder = working_folder(address)
    assert folder.name == "digits" and list(folder.iterdir()) == []
    (folder / "cells.csv").write_text("1")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"png")
    for name in ("unsent-1.jsonl", "studies.db", ".report.md.partial"):
        (folder / name).write_text("of this machine")
    assert publish(folder) == address
    assert there(address) == {"cells.csv": b"1", "figures/a.png": b"png"}


def test_only_what_has_changed_is_uploaded(address: str) -> None:
    folder = working_folder(address)
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    publish(folder)
    put(joined(address, "a"), b"of another machine")
    (folder / "b").write_text("b2")
    publish(folder)
    assert there(address) == {"a": b"of another machine", "b": b"b2"}


def test_another_machine_sees_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = working_folder(address)
    (folder / "cells.csv").write_text("1")
    publish(folder)
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "other"))
    other = working_folder(address)
    assert other != folder and (other / "cells.csv").read_text() == "1"
    (other / "cells.csv").write_text("2")
    (other / "more.csv").write_text("m")
    publish(other)
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "cache"))
    assert working_folder(address) == folder
    assert (folder / "cells.csv").read_text() == "2" and (folder / "more.csv").read_text() == "m"


def test_what_was_removed_there_is_removed_here_and_the_rest_stays(address: str) -> None:
    folder = working_folder(address)
    for name in ("a", "b", "unsent-1.jsonl"):
        (folder / name).write_text(name)
    publish(folder)
    system, path = open_address(joined(address, "a"))
    system.rm_file(path)
    (folder / "b").write_text("not yet uploaded")
    working_folder(address)
    assert not (folder / "a").exists()
    assert (folder / "b").read_text() == "not yet uploaded"
    assert (folder / "unsent-1.jsonl").exists()


def test_folders_of_two_addresses_are_apart(address: str) -> None:
    other = address.replace("/results/", "/others/")
    (working_folder(address) / "a").write_text("a")
    assert working_folder(other).name == "digits" and not (working_folder(other) / "a").exists()


def test_names(address: str, tmp_path: Path) -> None:
    assert names_in(address) == [] == names_in(str(tmp_path / "nothing"))
    for name in ("x", "y"):
        folder = working_folder(joined(address, name))
        (folder / "cells.csv").write_text(name)
        publish(folder)
        (tmp_path / name).mkdir()
    assert names_in(address) == ["x", "y"]
    assert names_in(str(tmp_path)) == ["cache", "x", "y"]
