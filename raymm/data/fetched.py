"""Packed data sets at an address such as s3://: copied once to each machine, then mapped there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from raymm.data.packed_format import MANIFEST, PackedManifest, parse_manifest, read_manifest
from raymm.errors import DataError, RaymmError
from raymm.storage.address import download, open_address, without_credentials, words
from raymm.storage.cache import CACHE, Copy, cache_folder, held_copy


def holds_manifest(address: str) -> bool:
    """Whether a remote folder holds a packed data set; what cannot be reached holds none."""
    try:
        system, root = open_address(address)
        return bool(system.isfile(f"{root}/{MANIFEST}"))
    except (RaymmError, OSError):  # whoever reads it as a folder of tables next says what is wrong
        return False


def local_copy(address: str, check: Callable[[Path], None]) -> Copy:
    """The copy of a remote packed folder on this machine; made by the first that asks for it.

    Copies are told apart by address and manifest, so one that was packed again is copied again. One
    whose files have no longer the sizes they came with is made anew.

    Args:
        address: of the folder.
        check: raises DataError if a copy is not what was packed; asked once, when it is made.

    Raises:
        DataError: there is no packed set, or what arrives is not what was packed.
        StorageError: the address cannot be used, or there is no room here.
    """
    shown = without_credentials(address)
    try:
        system, root = open_address(address)
        content: bytes = system.cat_file(f"{root}/{MANIFEST}")
        manifest = parse_manifest(content, f"{shown}/{MANIFEST}")
        sizes = _sizes(manifest, len(content), shown)

        def make(folder: Path) -> None:
            _download(system, root, sizes, folder)
            if (folder / MANIFEST).read_bytes() != content:
                raise DataError(f"{shown} was packed again while it was copied. Try again.")
            check(folder)

        name = hashlib.sha256(address.encode() + content).hexdigest()[:24]
        return held_copy(name, sum(sizes.values()), make, _is_whole)
    except RaymmError:
        raise
    except OSError as error:
        raise DataError(
            f"The packed set {shown} cannot be copied to this machine: {words(error)}. Check the "
            f"address, and the room in {cache_folder()} (another folder can be named by {CACHE})."
        ) from error


def _is_whole(folder: Path) -> bool:
    """Whether the files of a copy are there and have their sizes."""
    try:
        read_manifest(folder)
    except DataError:
        return False
    return True


def _sizes(manifest: PackedManifest, own: int, where: str) -> dict[str, int]:
    """Files of the folder by their path in it, and their bytes.

    Raises:
        DataError: a file has a name that leads out of the folder.
    """
    sizes = {file.path: file.size for file in manifest.files} | {MANIFEST: own}
    for path in map(PurePosixPath, sizes):
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{where}/{MANIFEST} names '{path}', which is not in the folder.")
    return sizes


def _download(system: Any, root: str, sizes: dict[str, int], folder: Path) -> None:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        for name, size in sizes.items():
            task = bars.add_task(f"fetching {name}", total=size)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            download(system, f"{root}/{name}", path, partial(_advance, bars, task))


def _advance(bars: Progress, task: TaskID, done: int) -> None:
    bars.update(task, completed=done)
