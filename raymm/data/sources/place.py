"""Where a folder of tables lies: a local path, or an address such as s3://bucket/folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fsspec

from raymm.errors import DataError


@dataclass(frozen=True)
class Place:
    """An open folder.

    Attributes:
        address: as the user gave it.
        files: names of the plain files directly in it, ascending; hidden ones are left out.
    """

    address: str
    files: tuple[str, ...]
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
                f"{self.address}/{name} cannot be read: {_words(error)}. Check that it is there "
                "and that you may read it."
            ) from error
        return content


def open_place(address: str) -> Place:
    """List the folder at `address`.

    Raises:
        DataError: there is no such folder, it cannot be reached, or its client is not installed.
    """
    try:
        system, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"The address '{address}' cannot be opened: {_words(error)}. For s3:// addresses "
            "install the client with `pip install 'raymm[s3]'`."
        ) from error
    try:
        # An object store may remember an older listing; what is there now is what counts.
        system.invalidate_cache()
        entries = system.ls(root, detail=True)
    except FileNotFoundError as error:
        raise DataError(f"There is no folder '{address}'. Check the path.") from error
    except NotADirectoryError as error:
        raise DataError(f"'{address}' is a file. Give the folder that holds the tables.") from error
    except Exception as error:  # storage clients raise errors of many families
        raise DataError(
            f"The folder '{address}' cannot be listed: {_words(error)}. Check the address, the "
            "network and the credentials."
        ) from error
    names = [
        str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
        for entry in entries
        if entry["type"] == "file"
    ]
    if len(entries) == 1 and str(entries[0]["name"]).rstrip("/") == root.rstrip("/") and names:
        raise DataError(f"'{address}' is a file. Give the folder that holds the tables.")
    shown = sorted(name for name in names if name and not name.startswith((".", "_")))
    return Place(address.rstrip("/") or "/", tuple(shown), system, root.rstrip("/"))


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
