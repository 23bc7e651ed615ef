"""The folder that a packed data set is written into: nobody sees it before it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raymm.data.packed_format import MANIFEST
from raymm.errors import DataError, StorageError
from raymm.storage.address import is_remote, open_address, upload


class FolderInMaking:
    """A hidden folder on the disk of the one to be made, or a temporary one for an address.

    Attributes:
        path: where to write.
    """

    def __init__(self, to: str) -> None:
        """Make it.

        Args:
            to: folder to be made, or its address.

        Raises:
            DataError: a folder is there already, or none can be made beside it.
            StorageError: the address cannot be used.
        """
        self._to = to
        if is_there(to):
            raise DataError(f"{to} is there already. Remove it, or pack to another folder.")
        with told(to):
            if is_remote(to):
                self.path = Path(tempfile.mkdtemp(prefix="raymm-pack-"))
                return
            target = Path(to).absolute()
            target.parent.mkdir(parents=True, exist_ok=True)
            self.path = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))

    def appear(self) -> None:
        """Give the folder its name, or upload it with its manifest last, once all is on disk.

        Raises:
            OSError: it cannot be; StorageError, if it is an address.
        """
        if is_remote(self._to):
            upload(self.path, self._to, last=MANIFEST)
            return
        for path in (*self.path.rglob("*"), self.path):
            _to_disk(path)
        self.path.chmod(0o755)
        target = Path(self._to).absolute()
        self.path.rename(target)
        _to_disk(target.parent)

    def discard(self) -> None:
        """Remove what has not appeared."""
        shutil.rmtree(self.path, ignore_errors=True)


def is_there(to: str) -> bool:
    """Whether something stands where a set is to be made; files without a manifest, at an address,
    are what an upload that was cut off has left.
    """
    if not is_remote(to):
        return Path(to).exists()
    system, root = open_address(to)
    return bool(system.exists(f"{root}/{MANIFEST}"))


def _to_disk(path: Path) -> None:
    """See that a file, or the names in a folder, outlast the machine."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def told(to: str) -> Iterator[None]:
    """Tells what the system says of files as an error of the data set."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        disk = "temporary folder (TMPDIR names another)" if is_remote(to) else "disk"
        raise DataError(
            f"The data set cannot be packed to {to}: {error}. Nothing was left there. See that the "
            f"{disk} has room (for the set, and its largest modality once more) and that you may "
            "write there."
        ) from error
