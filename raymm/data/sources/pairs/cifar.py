"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), python version; the text is the class's name.

cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}
cifar-100-python/{train,test,meta}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raymm.data.sources.pairs.build import Column, build, classes
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.unpickle import unpickle
from raymm.errors import DataError

SIDE = 32
LICENCE = "no formal licence; cite Krizhevsky, 2009"


def is_cifar(folder: Path) -> bool:
    """Whether a folder has the layout of CIFAR-10 or CIFAR-100."""
    return (folder / "batches.meta").is_file() or (folder / "meta").is_file()


def read_cifar(folder: Path) -> Pairs:
    """Read all batches that are there.

    Raises:
        DataError: a batch is missing or damaged.
    """
    fine = (folder / "meta").is_file()
    meta = unpickle(folder / ("meta" if fine else "batches.meta"))
    files = [("train", "train"), ("test", "test")]
    if not fine:
        files = [(f"data_batch_{number}", "train") for number in range(1, 6)]
        files.append(("test_batch", "test"))
    levels = {
        "class": (b"fine_labels", b"fine_label_names"),
        "coarse": (b"coarse_labels", b"coarse_label_names"),
    }
    if not fine:
        levels = {"class": (b"labels", b"label_names")}
    there = [(folder / name, split) for name, split in files if (folder / name).is_file()]
    if not there:
        raise DataError(
            f"{folder} holds no batch: looked for {', '.join(name for name, _ in files)}."
        )
    images: list[Any] = []
    splits: list[str] = []
    codes: dict[str, list[int]] = {level: [] for level in levels}
    for path, split in there:
        batch = unpickle(path)
        images += _images(batch, path)
        splits += [split] * (len(images) - len(splits))
        for level, (key, _) in levels.items():
            codes[level] += _codes(batch, key, path)
    names = {level: _names(meta, key, folder) for level, (_, key) in levels.items()}
    labels = [
        classes(level, [_named(names[level], code, folder) for code in codes[level]], names[level])
        for level in levels
    ]
    text = [names["class"][code] for code in codes["class"]]
    return build(
        folder.name,
        _ids(splits),
        {"image": Column("image", images), "text": Column("text", text)},
        labels=labels,
        splits=splits,
        licence=LICENCE,
    )


def _ids(splits: Sequence[str]) -> list[str]:
    """'train-00000', ...: the place of an image among those of its split."""
    seen = dict.fromkeys(splits, -1)
    ids = []
    for split in splits:
        seen[split] += 1
        ids.append(f"{split}-{seen[split]:05d}")
    return ids


def _images(batch: dict[bytes, Any], path: Path) -> list[np.ndarray[Any, Any]]:
    """Each row is a plane of red, one of green and one of blue: to (32, 32, 3)."""
    data = batch.get(b"data")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.shape[1:] != (3 * SIDE**2,)
    ):
        raise DataError(f"{path} has no 'data' of rows of {3 * SIDE**2} bytes. Download it again.")
    planes = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return list(np.ascontiguousarray(planes))


def _codes(batch: dict[bytes, Any], key: bytes, path: Path) -> list[int]:
    found = batch.get(key)
    if (
        not isinstance(found, list)
        or len(found) != len(batch[b"data"])
        or not all(isinstance(code, int) for code in found)
    ):
        raise DataError(f"{path} has no '{key.decode()}' for each image. Download it again.")
    return found


def _names(meta: dict[bytes, Any], key: bytes, folder: Path) -> list[str]:
    found = meta.get(key)
    if not isinstance(found, list):
        raise DataError(
            f"{folder} names no classes: '{key.decode()}' is missing. Download it again."
        )
    try:
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in found]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{folder}: a name in '{key.decode()}' is damaged. Download it again."
        ) from error
    return [text.replace("_", " ") for text in texts]


def _named(names: Sequence[str], code: int, folder: Path) -> str:
    if not 0 <= code < len(names):
        raise DataError(f"{folder}: a label is {code}, but there are {len(names)} classes.")
    return names[code]
