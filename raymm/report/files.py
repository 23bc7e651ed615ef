"""Files that a reader never sees half of."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and put it in its place.

    Raises:
        OSError: the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)
