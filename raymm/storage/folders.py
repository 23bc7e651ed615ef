"""Folders and files at an address such as s3://, copied to this machine for what opens them by path.

Images, captions and the Arrow files of Hugging Face `datasets` are read by libraries that want files.
A machine copies such a folder once; see `raymm.storage.cache` for how long a copy stays.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from raymm.errors import RaymmError, StorageError
from raymm.storage.address import (
    download,
    is_remote,
    last_part,
    open_address,
    without_credentials,
    words,
)
from raymm.storage.cache import CACHE, Copy, cache_folder, held_copy

AT_ONCE = 16
"""Files that are fetched at a time: many are small, and each costs a request."""
VERSIONS = ("ETag", "LastModified", "mtime", "created")
"""What servers say of a file that changes with its content."""


@dataclass(frozen=True)
class Entry:
    """A file as its server describes it.

    Attributes:
        size: bytes.
        version: changes with the content.
    """

    size: int
    version: str


@dataclass(frozen=True)
class Fetched:
    """A copy on this machine; nobody removes it while this object lives.

    Attributes:
        address: it was copied from.
        path: of the file or folder here; its last part is the address's.
    """

    address: str
    path: Path
    _copy: Copy


def entries(system: Any, root: str) -> dict[str, Entry]:
    """The files below a folder by their path in it; a file's own path in itself is "".

    Args:
        system, root: as `open_address` gives them.

    Raises:
        StorageError: it cannot be listed.
    """
    try:
        found: Mapping[str, Mapping[str, Any]] = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    files = {
        path[len(root) :].lstrip("/"): Entry(
            int(info["size"] or 0),
            " ".join(str(info[key]) for key in VERSIONS if info.get(key) is not None),
        )
        for path, info in found.items()
        if not path.endswith("/")  # what some tools leave to mark a folder
    }
    if len(files) > 1:
        files.pop("", None)  # likewise
    return files


def fetched(address: str) -> Fetched:
    """The copy of a file or folder on this machine, made by the first that asks for it.

    Copies are told apart by the address and by what its server says of each file, so one of which a
    file has changed is copied again.

    Raises:
        StorageError: there is nothing, it cannot be copied, or this machine has no room for it.
    """
    shown, name = without_credentials(address), last_part(address)
    try:
        system, root = open_address(address)
        files = entries(system, root)
        if not files:
            raise StorageError(f"There is nothing at {shown}. Check the address.")
        _check_names(files, shown)
        said = repr((address, sorted((path, repr(each)) for path, each in files.items())))

        def make(folder: Path) -> None:
            _download(system, root, files, folder / name)
            if entries(system, root) != files:
                raise StorageError(f"{shown} changed while it was copied. Try again.")

        copy = held_copy(
            hashlib.sha256(said.encode()).hexdigest()[:24],
            sum(each.size for each in files.values()),
            make,
            lambda folder: _is_whole(files, folder / name),
        )
        return Fetched(address, copy.folder / name, copy)
    except RaymmError:
        raise
    except OSError as error:
        raise StorageError(
            f"{shown} cannot be copied to this machine: {words(error)}. Check the address, and the "
            f"room in {cache_folder()} (another folder can be named by {CACHE})."
        ) from error


def _check_names(files: Mapping[str, Entry], shown: str) -> None:
    """Refuse names that lead out of the folder."""
    for path in map(PurePosixPath, files):
        if path.is_absolute() or ".." in path.parts:
            raise StorageError(f"{shown} holds '{path}', which leads out of it. Rename the file.")


def _is_whole(files: Mapping[str, Entry], to: Path) -> bool:
    """Whether the files of a copy are there and have their sizes."""
    paths = ((_within(to, name), entry.size) for name, entry in files.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _within(to: Path, name: str) -> Path:
    return to / name if name else to


def _download(system: Any, root: str, files: Mapping[str, Entry], to: Path) -> None:
    """Fetch all files, some at a time.

    Raises:
        StorageError: one cannot be fetched, or is not as long as was said.
    """
    console, lock = Console(stderr=True), threading.Lock()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    total = sum(entry.size for entry in files.values())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task(f"fetching {to.name}", total=total)

        def fetch(name: str) -> None:
            path, seen = _within(to, name), 0

            def progress(done: int) -> None:
                nonlocal seen
                with lock:
                    bars.advance(task, done - seen)
                seen = done

            path.parent.mkdir(parents=True, exist_ok=True)
            download(system, f"{root}/{name}" if name else root, path, progress)
            if path.stat().st_size != files[name].size:
                raise StorageError(
                    f"{name or to.name} arrived with {path.stat().st_size:,} bytes of "
                    f"{files[name].size:,}. Try again."
                )

        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = [pool.submit(fetch, name) for name in files]
            try:
                for each in waiting:
                    each.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


@contextmanager
def here(address: str) -> Iterator[Path]:
    """The path of a file or folder on this machine: its own, or that of a copy, held meanwhile.

    Raises:
        StorageError: as for `fetched`.
    """
    if is_remote(address):
        copy = fetched(address)
        yield copy.path
    else:
        yield Path(address)
