"""Where a folder of tables lies: a local path, or an address such as s3://bucket/folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from raymm.errors import DataError, RaymmError, StorageError
from raymm.storage.address import is_remote, open_address, words


@dataclass(frozen=True)
class Place:
    """An open folder.

    Attributes:
        address: as the user gave it.
        files: names of the plain files directly in it, ascending; hidden ones are left out.
        folders: names of the folders directly in it, likewise.
    """

    address: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    _system: Any
    _root: str

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            DataError: it cannot be read.
        """
        try:
            content: bytes = self._system.cat_file(f"{self._root}/{name}")
        except StorageError:
            raise
        except OSError as error:
            raise DataError(
                f"{self.address}/{name} cannot be read: {words(error)}. Check that it is there "
                "and that you may read it."
            ) from error
        return content

    def stream(self, name: str) -> Any:
        """One file, opened to be read as bytes from front to back or at any place.

        Raises:
            DataError: it cannot be opened.
        """
        try:
            return self._system.open(f"{self._root}/{name}", "rb")
        except StorageError:
            raise
        except OSError as error:
            raise DataError(
                f"{self.address}/{name} cannot be opened: {words(error)}. Check that it is there "
                "and that you may read it."
            ) from error

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where its server does not say."""
        try:
            size = self._system.size(f"{self._root}/{name}")
        except OSError:  # only progress is shown less well
            return None
        return None if size is None else int(size)

    def local(self, name: str) -> Path | None:
        """The file's path where it lies on this machine."""
        path = Path(self._root, name)
        return path if not is_remote(self.address) and path.is_file() else None

    def inside(self, name: str) -> Place:
        """The folder `name` of this one.

        Raises:
            DataError: it cannot be listed.
        """
        return open_place(f"{self.address.rstrip('/')}/{name}")


def open_place(address: str, expected: Sequence[str] = ()) -> Place:
    """List the folder at `address`.

    Args:
        address: local path, or an address that fsspec knows.
        expected: names that are looked for one by one where a web server lists nothing.

    Raises:
        DataError: there is no such folder, or it cannot be listed.
        StorageError: the address means nothing, or its client is not installed.
    """
    system, root = open_address(address)
    web = address.startswith(("http://", "https://")) and bool(expected)
    entries: list[Any] = []
    refused: OSError | None = None
    try:
        entries = system.ls(root, detail=True)
    except OSError as error:
        refused = error
    files, folders = _names(entries, "file"), _names(entries, "directory")
    if len(entries) == 1 and str(entries[0]["name"]).rstrip("/") == root.rstrip("/") and files:
        raise DataError(f"'{address}' is a file. Give the folder that holds the tables.")
    if web and not set(files) & {quote(name) for name in expected}:
        found = [name for name in expected if system.exists(f"{root.rstrip('/')}/{quote(name)}")]
        files += [quote(name) for name in found]
        refused = None if found else refused
    if refused is not None:
        raise _unlisted(address, refused) from refused
    return Place(address.rstrip("/") or "/", tuple(files), tuple(folders), system, root.rstrip("/"))


def _names(entries: Sequence[Any], kind: str) -> list[str]:
    """Names of the entries of a kind, ascending, without hidden ones."""
    names = [
        str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
        for entry in entries
        if entry["type"] == kind
    ]
    return sorted(name for name in names if name and not name.startswith((".", "_")))


def _unlisted(address: str, error: OSError) -> RaymmError:
    if isinstance(error, StorageError):
        return error
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no folder '{address}'. Check the path.")
    if isinstance(error, NotADirectoryError):
        return DataError(f"'{address}' is a file. Give the folder that holds the tables.")
    return DataError(
        f"The folder '{address}' cannot be listed: {words(error)}. Check the address, the "
        "network and the credentials."
    )
