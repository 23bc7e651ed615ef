"""Tiny ImageNet (Le & Yang, 2015): 200 classes of 64 x 64 images; the text is the class's words.

tiny-imagenet-200/wnids.txt, words.txt               classes, and the words of each
tiny-imagenet-200/train/<wnid>/images/*.JPEG
tiny-imagenet-200/val/images/*.JPEG, val/val_annotations.txt
"""

from __future__ import annotations

from pathlib import Path

from raymm.data.problems import some
from raymm.data.sources.pairs.build import Column, build, classes
from raymm.data.sources.pairs.files import check_match, image_files, read_text
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError


def is_tiny_imagenet(folder: Path) -> bool:
    """Whether a folder has Tiny ImageNet's layout."""
    return (folder / "wnids.txt").is_file() and (folder / "words.txt").is_file()


def read_tiny_imagenet(folder: Path) -> Pairs:
    """Read train and validation images; those of the test folder have no label and are left out.

    Raises:
        DataError: a file is missing or damaged, or the annotations do not match their images.
    """
    wnids = read_text(folder / "wnids.txt").split()
    words = _words(folder, wnids)
    rows = [
        (f"train-{name}", folder / "train" / wnid / "images" / name, wnid, "train")
        for wnid in wnids
        if (folder / "train" / wnid / "images").is_dir()
        for name in sorted(image_files(folder / "train" / wnid / "images"))
    ]
    warnings: list[str] = []
    if (folder / "val").is_dir():
        marked = _validation(folder / "val" / "val_annotations.txt", set(wnids))
        images = folder / "val" / "images"
        there = image_files(images)
        warnings += check_match(folder / "val" / "val_annotations.txt", marked, images, there)
        rows += [
            (f"val-{name}", images / name, wnid, "validation") for name, wnid in marked.items()
        ]
    texts = [words[row[2]] for row in rows]
    names = _names(wnids, words)
    return build(
        folder.name,
        [row[0] for row in rows],
        {"image": Column("image", [row[1] for row in rows]), "text": Column("text", texts)},
        labels=[classes("class", [names[row[2]] for row in rows], [names[wnid] for wnid in wnids])],
        splits=[row[3] for row in rows],
        licence="ImageNet terms: non-commercial research only",
        warnings=warnings,
    )


def _words(folder: Path, wnids: list[str]) -> dict[str, str]:
    found = {}
    for line in read_text(folder / "words.txt").splitlines():
        wnid, _, text = line.partition("\t")
        found[wnid] = text.strip()
    lost = [wnid for wnid in wnids if not found.get(wnid)]
    if lost:
        raise DataError(
            f"{folder / 'words.txt'} has no words for {len(lost)} of the classes of wnids.txt: "
            f"{some(lost)}. Download the set again."
        )
    return found


def _names(wnids: list[str], words: dict[str, str]) -> dict[str, str]:
    """A name for each class: its words, and its number where another has the same ("crane")."""
    texts = [words[wnid] for wnid in wnids]
    return {
        wnid: words[wnid] if texts.count(words[wnid]) == 1 else f"{words[wnid]} ({wnid})"
        for wnid in wnids
    }


def _validation(path: Path, wnids: set[str]) -> dict[str, str]:
    """Class of each validation image."""
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        parts = line.split("\t")
        if len(parts) < 2 or parts[1] not in wnids:
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} does not name an image and a class."
            )
        found[parts[0]] = parts[1]
    return found
