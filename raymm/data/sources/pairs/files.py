"""Files of a pair set's folder: listed, read, and held against what names them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from raymm.data.problems import some
from raymm.errors import DataError

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def first_there(folder: Path, names: Iterable[str], what: str) -> Path:
    """The first of some paths that exists.

    Raises:
        DataError: none does.
    """
    tried = list(names)
    for name in tried:
        if (folder / name).exists():
            return folder / name
    raise DataError(
        f"{folder} has no {what}: looked for {some(tried)}. Give the folder that was unpacked from "
        "the official archive."
    )


def image_files(folder: Path) -> set[str]:
    """Names of the images directly in a folder.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name.lower().endswith(IMAGES)}
    except OSError as error:
        raise DataError(f"The image folder {folder} cannot be listed: {error}.") from error


def check_match(captions: Path, named: Iterable[str], folder: Path, there: set[str]) -> list[str]:
    """Hold the images that a caption file names against those of a folder.

    Returns:
        What to warn of: images that no caption names.

    Raises:
        DataError: a named image is not there; says which.
    """
    wanted = set(named)
    lost = sorted(wanted - there)
    if lost:
        raise DataError(
            f"{captions} does not match {folder}: {len(lost):,} of the {len(wanted):,} images that "
            f"it names are not there: {some(lost)}. Use the captions and the images of one "
            "download."
        )
    spare = sorted(there - wanted)
    return [f"{folder}: {len(spare):,} images have no caption: {some(spare)}."] if spare else []


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Download it again.") from error
