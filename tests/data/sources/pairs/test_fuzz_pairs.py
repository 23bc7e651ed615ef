"""Damaged downloads of pairs: read, or refused with a DataError; never another error, never a hang."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.sources.pairs.load import load_pairs
from raymm.errors import DataError
from tests.data.sources.pairs import layouts
from tests.encoders.pictures import noise, png


def comma_separated(folder: Path) -> Path:
    """The wide-spread copy of Flickr8k."""
    for seed, name in enumerate(("1.jpg", "2.jpg")):
        layouts.image(folder / "Images" / name, seed)
    text = 'image,caption\n1.jpg,"A dog , it ""says"" ."\n1.jpg,A cat .\n2.jpg,A bird .\n'
    layouts.write(folder / "captions.txt", text)
    return folder


def parquet(folder: Path) -> Path:
    folder.mkdir(parents=True)
    images = [png(noise(row, 8, 8)) for row in range(4)]
    frame = pd.DataFrame({"id": list("abcd"), "image": images, "text": ["a cat", None, "c", "d"]})
    frame.to_parquet(folder / "pairs.parquet")
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "coco": layouts.coco,
    "flickr8k": layouts.flickr8k,
    "comma_separated": comma_separated,
    "cifar10": layouts.cifar10,
    "cifar100": layouts.cifar100,
    "tiny_imagenet": layouts.tiny_imagenet,
    "glue_qqp": layouts.glue_qqp,
    "quora": layouts.quora,
    "glue_mrpc": layouts.glue_mrpc,
    "sts": layouts.sts,
    "parquet": parquet,
}
IMAGES = (".jpg", ".JPEG", ".1")


@cache
def original(kind: str) -> dict[str, bytes]:
    """Path -> content of the files of a small download."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = LAYOUTS[kind](Path(scratch, kind))
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read(kind: str, name: str, content: bytes) -> bool:
    """Whether a download with one changed file is read; anything but a DataError fails the test."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, kind)
        for each, own in {**original(kind), name: content}.items():
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).write_bytes(own)
        try:
            pairs = load_pairs(str(folder))
            pairs.fingerprint()
        except DataError:
            return False
    return True


def drawn(kind: str, data: st.DataObject) -> str:
    """One of the files that say something, not an image."""
    names = [name for name in original(kind) if not name.endswith(IMAGES)]
    return data.draw(st.sampled_from(sorted(names)))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_undamaged(kind: str) -> None:
    name, content = next(iter(original(kind).items()))
    assert read(kind, name, content)


@pytest.mark.parametrize("kind", ["coco", "cifar10", "cifar100", "parquet"])
@settings(max_examples=30, deadline=10_000)
@given(data=st.data())
def test_a_cut_file_is_refused_where_its_form_can_tell(kind: str, data: st.DataObject) -> None:
    name = drawn(kind, data)
    content = original(kind)[name]
    assert not read(kind, name, content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("kind", LAYOUTS)
@settings(max_examples=40, deadline=10_000)
@given(data=st.data())
def test_a_cut_or_changed_file_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    name = drawn(kind, data)
    content = bytearray(original(kind)[name])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(kind, name, bytes(content[: data.draw(st.integers(0, len(content)))]))
