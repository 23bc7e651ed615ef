"""Copies on this machine: made once whoever asks, within a limit, never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raymm.errors import ConfigError, StorageError
from raymm.storage.cache import held_copy

SIZE = 1000


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path))
    return tmp_path / "packed"


def fill(folder: Path) -> None:
    (folder / "values").write_bytes(bytes(SIZE))


def whole(folder: Path) -> bool:
    file = folder / "values"
    return file.is_file() and file.stat().st_size == SIZE


def copies(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir())


def test_a_copy_is_made_once(place: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        fill(folder)

    first, second = (held_copy("a", SIZE, make, whole) for _ in range(2))
    assert first.folder == second.folder == place / "a" and whole(first.folder)
    assert len(made) == 1 and copies(place) == ["a"]


def test_what_is_no_longer_whole_is_made_again(place: Path) -> None:
    copy = held_copy("a", SIZE, fill, whole)
    (copy.folder / "values").write_bytes(b"cut")
    assert whole(held_copy("a", SIZE, fill, whole).folder) and copies(place) == ["a"]


def test_a_failure_leaves_nothing_and_is_passed_on(place: Path) -> None:
    def make(folder: Path) -> None:
        fill(folder)
        raise StorageError("the connection was cut")

    with pytest.raises(StorageError, match="the connection was cut"):
        held_copy("a", SIZE, make, whole)
    assert copies(place) == []


def test_the_copy_used_longest_ago_goes_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE_GB", str(2.5 * SIZE / 1e9))
    for number, name in enumerate("ab"):
        held_copy(name, SIZE, fill, whole)
        os.utime(place / f".{name}.use", (number, number))
    held_copy("a", SIZE, fill, whole)  # so b has waited longer
    held_copy("c", SIZE, fill, whole)
    assert copies(place) == ["a", "c"]


def test_a_copy_in_use_is_never_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE_GB", str(2.5 * SIZE / 1e9))
    held = held_copy("a", SIZE, fill, whole)
    os.utime(place / ".a.use", (0, 0))
    held_copy("b", SIZE, fill, whole)
    held_copy("c", SIZE, fill, whole)
    assert copies(place) == ["a", "c"] and whole(held.folder)
    also = held_copy("c", SIZE, fill, whole)
    with pytest.raises(StorageError, match=r"has no room in .* Raise RAYMM_CACHE_GB"):
        held_copy("d", SIZE, fill, whole)
    assert copies(place) == ["a", "c"] and whole(also.folder)
    del held
    held_copy("d", SIZE, fill, whole)
    assert copies(place) == ["c", "d"]


def test_what_can_never_fit_removes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE_GB", str(2.5 * SIZE / 1e9))
    held_copy("a", SIZE, fill, whole)
    with pytest.raises(StorageError, match="has no room"):
        held_copy("b", 3 * SIZE, fill, whole)
    assert copies(place) == ["a"]


def test_what_is_larger_than_the_disk_is_refused_before_it_is_fetched(place: Path) -> None:
    def make(folder: Path) -> None:
        raise AssertionError("nothing should be made")

    with pytest.raises(StorageError, match="the disk has"):
        held_copy("a", 10**18, make, whole)


@pytest.mark.parametrize("given", ["", "much", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE_GB", given)
    with pytest.raises(ConfigError, match=f"RAYMM_CACHE_GB = '{given}'"):
        held_copy("a", SIZE, fill, whole)


MAKER = """
import sys, time
from pathlib import Path
from raymm.storage.cache import held_copy

log, seconds = Path(sys.argv[1]), float(sys.argv[2])

def make(folder):
    with log.open("a") as file:
        file.write("made\\n")
    (folder / "values").write_bytes(bytes(500))
    time.sleep(seconds)
    (folder / "values").write_bytes(bytes(1000))

def whole(folder):
    file = folder / "values"
    return file.is_file() and file.stat().st_size == 1000

held = held_copy("a", 1000, make, whole)
assert whole(held.folder)
print("held", flush=True)
sys.stdin.read()
"""


def asking(log: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(log), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def count(log: Path) -> int:
    return log.read_text().count("made") if log.exists() else 0


def wait_until_made(log: Path, times: int) -> None:
    end = time.monotonic() + 30
    while count(log) < times:
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate("", timeout=30)
    assert process.returncode == 0
    return said


def test_processes_that_ask_at_once_make_one_copy(tmp_path: Path, place: Path) -> None:
    log = tmp_path / "log"
    processes = [asking(log, 0.5) for _ in range(4)]
    assert [ended(process) for process in processes] == ["held\n"] * 4
    assert count(log) == 1 and copies(place) == ["a"]


def test_one_that_is_killed_half_way_leaves_it_to_the_next(tmp_path: Path, place: Path) -> None:
    log = tmp_path / "log"
    victim = asking(log, 60)
    wait_until_made(log, 1)
    others = [asking(log, 0.1) for _ in range(3)]
    time.sleep(0.5)
    assert count(log) == 1  # they wait
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert [ended(process) for process in others] == ["held\n"] * 3
    assert count(log) == 2 and copies(place) == ["a"]  # and what the victim wrote is gone


def test_a_copy_that_another_process_holds_stays(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_CACHE_GB", str(1.5 * SIZE / 1e9))
    holder = asking(tmp_path / "log", 0)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(StorageError, match="has no room"):
        held_copy("b", SIZE, fill, whole)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    held_copy("b", SIZE, fill, whole)
    assert copies(place) == ["b"]
