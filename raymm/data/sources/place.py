"""Where a folder of tables lies: a local path, or an address such as s3://bucket/folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec

from raymm.errors import DataError


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
        except Exception as error:  # storage clients raise errors of many families
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
        except Exception as error:  # storage clients raise errors of many families
            raise DataError(
                f"{self.address}/{name} cannot be opened: {words(error)}. Check that it is there "
                "and that you may read it."
            ) from error

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where its server does not say."""
        try:
            size = self._system.size(f"{self._root}/{name}")
        except Exception:  # only progress is shown less well
            return None
        return None if size is None else int(size)

    def local(self, name: str) -> Path | None:
        """The file's path where it lies on this machine."""
        path = Path(self._root, name)
        return path if "://" not in self.address and path.is_file() else None

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
        DataError: there is no such folder, it cannot be reached, or its client is not installed.
    """
    try:
        system, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"The address '{address}' cannot be opened: {words(error)}. For s3:// addresses "
            "install the client with `pip install 'raymm[s3]'`."
        ) from error
    web = address.startswith(("http://", "https://")) and bool(expected)
    entries: list[Any] = []
    refused: Exception | None = None
    try:
        # An object store may remember an older listing; what is there now is what counts.
        system.invalidate_cache()
        entries = system.ls(root, detail=True)
    except Exception as error:  # storage clients raise errors of many families
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


def _unlisted(address: str, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no folder '{address}'. Check the path.")
    if isinstance(error, NotADirectoryError):
        return DataError(f"'{address}' is a file. Give the folder that holds the tables.")
    return DataError(
        f"The folder '{address}' cannot be listed: {words(error)}. Check the address, the "
        "network and the credentials."
    )


def words(error: BaseException) -> str:
    """What an error of another library says, as part of a sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
