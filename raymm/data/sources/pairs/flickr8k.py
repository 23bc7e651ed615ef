"""Flickr8k (Hodosh et al., 2013): five captions for each of 8,000 images.

    Flickr8k_text/Flickr8k.token.txt                       <image>#<n> <tab> <caption>
    Flickr8k_text/Flickr_8k.{train,dev,test}Images.txt     official splits, one image a line
    Flicker8k_Dataset/*.jpg                                 (spelt like this)

The two folders may also lie flat, or be called `Images` with a `captions.txt` (image,caption), as in
a wide-spread copy. The official list has one image whose name ends in '.jpg.1' and that is in no
folder: its captions are left out, with a warning.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.files import check_match, first_there, image_files, read_text
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError

TOKENS = ("Flickr8k_text/Flickr8k.token.txt", "Flickr8k.token.txt", "captions.txt")
FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_Dataset", "Images")
SPLITS = {"train": "trainImages", "validation": "devImages", "test": "testImages"}
KNOWN_LOST = ".jpg.1"


def is_flickr8k(folder: Path) -> bool:
    """Whether a folder has Flickr8k's layout."""
    return any((folder / name).is_file() for name in TOKENS)


def read_flickr8k(folder: Path, *, first_only: bool = False) -> Pairs:
    """Read captions and images.

    Args:
        folder: that holds the two official folders.
        first_only: only the first caption of each image.

    Raises:
        DataError: a file is missing or damaged, or captions and images do not match.
    """
    path = first_there(folder, TOKENS, "caption file")
    images = first_there(folder, FOLDERS, "folder of images")
    rows = (
        _comma_separated(path)
        if path.suffix == ".txt" and path.stem == "captions"
        else _tokens(path)
    )
    lost = {image for image, _, _ in rows if image.endswith(KNOWN_LOST)}
    rows = [row for row in rows if row[0] not in lost and not (first_only and row[1])]
    warnings = [
        f"{path}: '{image}' is no image; its captions are left out." for image in sorted(lost)
    ]
    warnings += check_match(path, (row[0] for row in rows), images, image_files(images))
    split_of = _splits(path.parent)
    return build(
        folder.name,
        [f"{image}#{number}" for image, number, _ in rows],
        {"image": Column("image", [images / image for image, _, _ in rows]),
         "text": Column("text", [text or None for _, _, text in rows])},
        groups=[image for image, _, _ in rows],
        splits=[split_of.get(image, "") for image, _, _ in rows] if split_of else None,
        licence="research use; images under their own Flickr licences",
        warnings=warnings,
    )  # fmt: skip


def _tokens(path: Path) -> list[tuple[str, int, str]]:
    """Image, number and caption of each line."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name, tab, text = line.partition("\t")
        image, mark, which = name.rpartition("#")
        if not (tab and mark and which.isdecimal()):
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} is not '<image>#<n><tab><caption>'. Download "
                "it again."
            )
        rows.append((image, int(which), text.strip()))
    return rows


def _comma_separated(path: Path) -> list[tuple[str, int, str]]:
    reader = csv.DictReader(io.StringIO(read_text(path)))
    if reader.fieldnames is None or not {"image", "caption"} <= set(reader.fieldnames):
        raise DataError(f"{path} has no columns 'image' and 'caption' in its first line.")
    seen: dict[str, int] = {}
    rows = []
    try:
        for row in reader:
            image, text = row["image"], row["caption"]
            if not image or text is None:
                raise csv.Error("an image or its caption is missing")
            rows.append((image, seen.get(image, 0), text.strip()))
            seen[image] = seen.get(image, 0) + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}. Download it again.") from error
    return rows


def _splits(folder: Path) -> dict[str, str]:
    """Official split of each image, as far as the lists are there."""
    found = {}
    for split, name in SPLITS.items():
        path = folder / f"Flickr_8k.{name}.txt"
        if path.is_file():
            found.update(dict.fromkeys(read_text(path).split(), split))
    return found
