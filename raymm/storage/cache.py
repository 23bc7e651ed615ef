"""Copies of what lies elsewhere, kept on this machine within a limit.

Several processes may ask for the same copy at once: one makes it, the others wait for it. The system
lets go of the locks of a process that dies, so the next one makes what it had not finished. When
there is no room, those used longest ago go first, never one that a process holds.

    .<name>.making                 held by the one who makes the copy
    .<name>.use                    shared by all who hold it; touched by each
    .<name>.<bytes>.<random>       a copy that is being made, and the room that it will take
    <name>                         a whole one
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raymm.errors import ConfigError, StorageError

CACHE = "RAYMM_CACHE"
"""Environment variable that names the folder for copies; ~/.cache/raymm without it."""
CACHE_GB = "RAYMM_CACHE_GB"
"""Environment variable: room for copies, in GB (10^9 bytes); without it four fifths of the disk."""
GB = 10**9
SHARE = 0.8
ROOM, GONE = ".room", ".gone-"


@dataclass(frozen=True)
class Copy:
    """A copy that this process holds: nobody removes it before this object is gone.

    Attributes:
        folder: that it lies in.
    """

    folder: Path
    _lock: _Lock


def cache_folder() -> Path:
    """The folder for copies."""
    named = os.environ.get(CACHE)
    return Path(named) if named else Path.home() / ".cache" / "raymm"


def cache_limit(place: Path) -> int:
    """Most bytes of copies in a folder.

    Raises:
        ConfigError: the variable that says so holds no positive number.
    """
    given = os.environ.get(CACHE_GB)
    if given is None:
        return int(shutil.disk_usage(place).total * SHARE)
    try:
        limit = float(given)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ConfigError(f"{CACHE_GB} = {given!r} is no number of GB above 0, such as 100.")
    return int(limit * GB)


def held_copy(
    name: str, size: int, make: Callable[[Path], None], whole: Callable[[Path], bool]
) -> Copy:
    """The copy of that name, made first if need be.

    Args:
        name: of its folder.
        size: bytes that it takes.
        make: fills an empty folder; whatever it raises is passed on, and nothing is left.
        whole: whether a folder that is there still is what was made.

    Raises:
        StorageError: there is no room for it.
        OSError: the folder for copies cannot be written.
    """
    place = cache_folder() / "packed"
    place.mkdir(parents=True, exist_ok=True)
    folder = place / name
    while True:
        use = _Lock(place / f".{name}.use", fcntl.LOCK_SH)
        if folder.is_dir() and whole(folder):
            os.utime(use.path)
            return Copy(folder, use)
        use.release()
        making = _Lock(place / f".{name}.making", fcntl.LOCK_EX)
        try:
            if not (folder.is_dir() and whole(folder)):
                _make(folder, size, make)
        finally:
            making.release()


def _make(folder: Path, size: int, make: Callable[[Path], None]) -> None:
    """Make a copy beside its folder and rename it: it is there whole or not at all."""
    if folder.is_dir():
        _remove(folder)  # damaged; who has it mapped keeps what he has
    with _one_at_a_time(folder.parent):
        for left in folder.parent.glob(f".{folder.name}.*.*"):
            shutil.rmtree(left, ignore_errors=True)  # by one who died: the lock is ours
        _make_room(folder.parent, size)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{size}.", dir=folder.parent))
    try:
        make(aside)
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_room(place: Path, size: int) -> None:
    """Remove copies that nobody holds, the one used longest ago first, until there is room.

    Raises:
        StorageError: there is none; says what takes it.
    """
    limit = cache_limit(place)
    for left in place.glob(f"{GONE}*"):
        shutil.rmtree(left, ignore_errors=True)  # by one who died while he removed it
    taken, coming = _taken(place)
    candidates = _by_use(place) if size <= limit else []
    while True:
        free = shutil.disk_usage(place).free - coming
        if taken + size <= limit and size <= free:
            return
        if not candidates:
            break
        _remove_unless_held(candidates.pop(0))
        taken, coming = _taken(place)
    raise StorageError(
        f"A copy of {size / GB:.3f} GB has no room in {place}, which may hold {limit / GB:.3f} GB: "
        f"{taken / GB:.3f} GB are taken by copies that are in use or being made, and the disk has "
        f"{max(0, free) / GB:.3f} GB left. Raise {CACHE_GB}, or name a folder on a larger disk by "
        f"{CACHE}."
    )


def _by_use(place: Path) -> list[Path]:
    """The whole copies, the one used longest ago first."""

    def used(folder: Path) -> float:
        lock = place / f".{folder.name}.use"
        return lock.stat().st_mtime if lock.exists() else 0.0

    whole = [each for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return sorted(whole, key=used)


def _taken(place: Path) -> tuple[int, int]:
    """Bytes that copies take, those included that are being made; and how many of them are to come.

    What one has left who died while he made it is removed.
    """
    taken = coming = 0
    for folder in [each for each in place.iterdir() if each.is_dir()]:
        written = _bytes_in(folder)
        parts = folder.name.split(".")
        if folder.name.startswith(".") and len(parts) == 4:
            if not _is_held(place / f".{parts[1]}.making"):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            reserved = max(written, int(parts[2]))
            coming += reserved - written
            written = reserved
        taken += written
    return taken, coming


def _bytes_in(folder: Path) -> int:
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size if path.is_file() else 0)
        except FileNotFoundError:  # renamed or removed meanwhile
            continue
    return sum(sizes)


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = _Lock(folder.parent / f".{folder.name}.use", fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    try:
        _remove(folder)
    finally:
        lock.release()


def _remove(folder: Path) -> None:
    """Remove a folder; it has no part of its files while it has its name."""
    gone = Path(tempfile.mkdtemp(prefix=GONE, dir=folder.parent))
    folder.rename(gone / folder.name)
    shutil.rmtree(gone, ignore_errors=True)


def _is_held(path: Path) -> bool:
    try:
        _Lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB).release()
    except BlockingIOError:
        return True
    return False


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    """Hold others off while room is made and reserved."""
    lock = _Lock(place / ROOM, fcntl.LOCK_EX)
    try:
        yield
    finally:
        lock.release()


class _Lock:
    """A lock on a file, given back when it is released, collected, or its process ends however."""

    def __init__(self, path: Path, how: int) -> None:
        """Take it.

        Raises:
            BlockingIOError: somebody has it, and `how` says not to wait.
        """
        self.path = path
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self.release = weakref.finalize(self, os.close, file)
        try:
            fcntl.flock(file, how)
        except BaseException:
            self.release()
            raise
