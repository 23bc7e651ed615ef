"""Packed data sets at an address such as s3://: copied once to each machine, then mapped there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec

from raymm.data.packed_format import MANIFEST
from raymm.errors import DataError

CACHE = "RAYMM_CACHE"
"""Environment variable that names the folder for copies; ~/.cache/raymm without it."""


def is_remote(address: str) -> bool:
    """Whether an address is not a local path."""
    return "://" in address


def holds_manifest(address: str) -> bool:
    """Whether a remote folder holds a packed data set; what cannot be reached holds none."""
    try:
        system, root = fsspec.core.url_to_fs(address)
        system.invalidate_cache()
        return bool(system.isfile(f"{root.rstrip('/')}/{MANIFEST}"))
    except Exception:  # whoever reads it as a folder of tables next says what is wrong
        return False


def local_copy(address: str, check: Callable[[Path], None]) -> Path:
    """The copy of a remote packed folder on this machine; made by the first that asks for it.

    Copies are told apart by address and manifest, so one that was packed again is copied again.

    Args:
        address: of the folder.
        check: raises DataError if a copy is not what was packed.

    Raises:
        DataError: it cannot be read or copied.
    """
    try:
        system, root = fsspec.core.url_to_fs(address)
        system.invalidate_cache()
        manifest: bytes = system.cat_file(f"{root.rstrip('/')}/{MANIFEST}")
        name = hashlib.sha256(address.encode() + manifest).hexdigest()[:24]
        folder = _cache() / "packed" / name
        if not folder.is_dir():
            _copy(system, root.rstrip("/"), folder, check)
    except Exception as error:  # storage clients raise errors of many families
        raise DataError(
            f"The packed set {address} cannot be copied to this machine: {type(error).__name__}: "
            f"{error}. Check the address, your credentials, and the room in {_cache()} (another "
            f"folder can be named by {CACHE})."
        ) from error
    return folder


def _cache() -> Path:
    named = os.environ.get(CACHE)
    return Path(named) if named else Path.home() / ".cache" / "raymm"


def _copy(system: Any, root: str, folder: Path, check: Callable[[Path], None]) -> None:
    """Copy all files beside the folder and rename: it is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for found in system.find(root):
            path = aside / str(found)[len(root) :].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(found, str(path))
        check(aside)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
