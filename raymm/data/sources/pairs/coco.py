"""COCO Captions (Chen et al., 2015): annotations/captions_<part>.json beside the folder <part>.

    coco/annotations/captions_train2017.json   coco/train2017/000000000009.jpg ...
    coco/annotations/captions_val2017.json     coco/val2017/000000000139.jpg ...

A sample is one caption with its image, so an image stands in some five samples; its id is
`<image id>#<n>`, which keeps them in one split.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.files import check_match, image_files, read_text
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError

LICENCE = "captions CC BY 4.0; images under their own Flickr licences"
START = "captions_"
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a JSON file of another form gives rise to."""


def is_coco(folder: Path) -> bool:
    """Whether a folder has COCO's layout."""
    return any((folder / "annotations").glob(f"{START}*.json"))


def read_coco(folder: Path, *, first_only: bool = False) -> Pairs:
    """Read every part that is there.

    Args:
        folder: that holds `annotations` and the image folders.
        first_only: only the first caption of each image.

    Raises:
        DataError: a file is damaged, or captions and images do not match.
    """
    rows: list[tuple[str, Path, str | None, str, str]] = []
    warnings: list[str] = []
    found = sorted((folder / "annotations").glob(f"{START}*.json"))
    for path in found:
        part = path.stem.removeprefix(START)
        images = folder / part
        named, captions = _annotations(path)
        warnings += check_match(path, (named[key] for key in captions), images, image_files(images))
        for key, texts in captions.items():
            for number, text in enumerate(texts[:1] if first_only else texts):
                sample = f"{key:012d}#{number}"
                rows.append(
                    (sample, images / named[key], text or None, f"{key:012d}", _split(part))
                )
    return build(
        folder.name,
        [row[0] for row in rows],
        {"image": Column("image", [row[1] for row in rows]),
         "text": Column("text", [row[2] for row in rows])},
        groups=[row[3] for row in rows],
        splits=[row[4] for row in rows],
        licence=LICENCE,
        warnings=warnings,
    )  # fmt: skip


def _annotations(path: Path) -> tuple[dict[int, str], dict[int, list[str]]]:
    """File name of each image, and its captions in the order of their ids."""
    try:
        said: dict[str, list[dict[str, Any]]] = json.loads(read_text(path))
        named = {int(image["id"]): _text(image["file_name"]) for image in said["images"]}
        captions: dict[int, list[str]] = defaultdict(list)
        for each in sorted(said["annotations"], key=lambda each: int(each["id"])):
            captions[int(each["image_id"])].append(_text(each["caption"]))
    except DAMAGE as error:
        raise DataError(
            f"{path} is no file of COCO captions: {type(error).__name__} {error}. It has 'images' "
            "with id and file_name, and 'annotations' with id, image_id and caption."
        ) from error
    strangers: Sequence[int] = sorted(set(captions) - set(named))
    if strangers:
        raise DataError(
            f"{path}: {len(strangers):,} captions are of images that it does not list, such as "
            f"{strangers[0]}. Download it again."
        )
    return named, dict(captions)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value.strip()


def _split(part: str) -> str:
    names = {"train": "train", "val": "validation", "test": "test"}
    return next((split for start, split in names.items() if part.startswith(start)), "")
