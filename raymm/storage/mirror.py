"""Folders that are worked on with plain files though they lie at an address such as s3://.

A sweep's results are tables and figures, but also logs that grow and files that libraries open by
path. Where they are to lie at an address, this machine has a working copy: brought up to date when it
is opened, and what has changed in it is uploaded by `publish`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.errors import StorageError
from raymm.storage.address import is_remote, last_part, open_address, without_credentials
from raymm.storage.cache import cache_folder
from raymm.storage.folders import entries

OF_THIS_MACHINE = (".", "unsent-", "studies.")
"""Begins of names that are not uploaded: half files, what a driver has not sent, open databases."""


def working_folder(address: str) -> Path:
    """The folder at an address as one of this machine: itself, or a working copy of what is there.

    What is there and not here, or has changed there since it was last here, is downloaded; what was
    removed there is removed here.

    Raises:
        StorageError: it cannot be read.
    """
    if not is_remote(address):
        return Path(address)
    address = address.rstrip("/")
    parent = hashlib.sha256(address.rpartition("/")[0].encode()).hexdigest()[:16]
    folder = cache_folder() / "folders" / parent / last_part(address)
    system, root = open_address(address)
    known = _read_state(folder).get("files", {})
    there = _listed(system, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in known.keys() - there.keys():
            (folder / name).unlink(missing_ok=True)
        files = {}
        for name, tag in there.items():
            files[name] = known.get(name)
            if files[name] is None or files[name]["tag"] != tag or not (folder / name).is_file():
                content = system.cat_file(f"{root}/{name}")
                _write(folder / name, content)
                files[name] = {"tag": tag, "sha256": hashlib.sha256(content).hexdigest()}
        _write_state(folder, address, files)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{without_credentials(address)} cannot be copied to {folder}: {error}. Make room "
            "there, or name another folder for copies by RAYMM_CACHE."
        ) from error
    return folder


def publish(folder: Path) -> str:
    """Upload what has changed in a working copy, and return the address; nothing of other folders.

    Returns:
        Where it lies, as it may be shown: the address without passwords, or the path of a folder that
        is no working copy.

    Raises:
        StorageError: it cannot be uploaded; it stays as it is here, and another call goes on.
    """
    state = _read_state(folder)
    if not state:
        return str(folder)
    address, files = str(state["address"]), dict(state["files"])
    system, root = open_address(address)
    changed = []
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        name = within.as_posix()
        if path.is_file() and not any(part.startswith(OF_THIS_MACHINE) for part in within.parts):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if files.get(name, {}).get("sha256") != digest:
                system.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                system.pipe_file(f"{root}/{name}", content)
                changed.append((name, digest))
    if changed:
        there = _listed(system, root)
        files |= {name: {"tag": there.get(name), "sha256": digest} for name, digest in changed}
        _write_state(folder, address, files)
    return without_credentials(address)


def names_in(address: str) -> list[str]:
    """Names of the folders directly in one, ascending; none where there is nothing.

    Raises:
        StorageError: it cannot be read.
    """
    system, root = open_address(address)
    try:
        entries = system.ls(root, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(last_part(entry["name"]) for entry in entries if entry["type"] == "directory")


def _listed(system: Any, root: str) -> dict[str, str]:
    """Files below a folder, by their path in it; what each says changes with its content."""
    return {
        name: f"{entry.size} {entry.version}".rstrip()
        for name, entry in entries(system, root).items()
        if not name.startswith(OF_THIS_MACHINE)
    }


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_state_of(folder).read_text()))
    except FileNotFoundError:
        return {}


def _write_state(folder: Path, address: str, files: Mapping[str, Any]) -> None:
    content = {"address": address, "files": files}
    _write(_state_of(folder), json.dumps(content, indent=1).encode())
    _state_of(folder).chmod(0o600)  # an address may hold a password


def _state_of(folder: Path) -> Path:
    """What is known of a working copy; beside it, so that it holds nothing but what is there."""
    return folder.with_name(f".{folder.name}.published.json")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)
