"""The built-in data set: UCI Multiple Features, 2,000 handwritten digits in six views.

An ordinary folder of tables inside the package, read as any other; see `digits/ATTRIBUTION.md`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from raymm.errors import DataError

FOLDER = Path(__file__).with_name("digits")
CHECKSUMS = "SHA256SUMS"


def verified_folder() -> Path:
    """The folder of the digits, once every table matches its checksum (about 2 ms).

    Raises:
        DataError: a table is missing or was changed.
    """
    return verified(FOLDER, "python -m raymm.data.sources.make_digits")


def verified(folder: Path, maker: str) -> Path:
    """A folder of built-in data, once every file matches its checksum.

    Args:
        folder: holds the files and `SHA256SUMS`.
        maker: command that makes them.

    Raises:
        DataError: a file is missing or was changed.
    """
    for line in (folder / CHECKSUMS).read_text().splitlines():
        checksum, name = line.split()
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
            raise DataError(
                f"The built-in table {path} is missing or damaged. Install raymm again, or make it "
                f"with `{maker}`."
            )
    return folder
