"""Pairs: samples whose modalities are still images and texts, before an encoder has seen them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label
from raymm.errors import DataError, nearest
from raymm.storage.folders import Fetched

Domain = Literal["text", "image"]
Picture: TypeAlias = bytes | Path | NDArray[np.uint8]
"""An image: the bytes of a file (PNG, JPEG, ...), the path of one, or (height, width, 3) RGB."""
Item: TypeAlias = str | Picture


@dataclass(frozen=True)
class Items:
    """One modality of a set of pairs.

    Attributes:
        name: of the modality.
        domain: "text" or "image".
        rows: (n,) sample index of each item, ascending; a sample without one has no row.
        values: n texts, or n pictures; paths are read when they are needed.
    """

    name: str
    domain: Domain
    rows: NDArray[np.int64]
    values: Sequence[Item]

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """Digest of each item's content; the first call reads every file."""
        return tuple(item_digest(value) for value in self.values)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Samples with their items.

    Attributes:
        ids: (samples,) unique, ascending. Samples that share a group begin with it: 'photo#3' is the
            third of 'photo', and all of a group fall into one split.
        items: the modalities.
        labels: of all samples, in the order of `ids`; -1 or NaN is unlabelled.
        groups: (samples,) what several samples have in common, such as the image of five captions.
        splits: (samples,) official split: "train", "validation", "test", or "" for none.
        licence: under which the data may be used; empty if nobody said.
        warnings: what was odd while reading, in words.
        copy: of what lies at an address; the files of its images are there as long as this object.
    """

    name: str
    ids: NDArray[np.str_]
    items: tuple[Items, ...]
    labels: tuple[Label, ...] = ()
    groups: NDArray[np.str_] | None = None
    splits: NDArray[np.str_] | None = None
    licence: str = ""
    warnings: tuple[str, ...] = ()
    copy: Fetched | None = None

    def __post_init__(self) -> None:
        if (self.ids[1:] <= self.ids[:-1]).any():
            raise DataError(
                f"{self.name}: sample ids are not unique and ascending. Sort them, and give each once."
            )

    def of(self, name: str) -> Items:
        """The items of a modality.

        Raises:
            DataError: there is no such modality.
        """
        for each in self.items:
            if each.name == name:
                return each
        known = nearest(name, [each.name for each in self.items])
        raise DataError(f"{self.name} has no modality '{name}': {known}")

    def label(self, name: str) -> Label:
        """A label by its name.

        Raises:
            DataError: there is no such label.
        """
        for each in self.labels:
            if each.name == name:
                return each
        known = nearest(name, [each.name for each in self.labels])
        raise DataError(f"{self.name} has no label '{name}': {known}")

    def chosen(self, samples: NDArray[np.bool_]) -> Pairs:
        """Some of the samples.

        Args:
            samples: (samples,) which to keep.
        """
        place = np.cumsum(samples) - 1
        return replace(
            self,
            ids=self.ids[samples],
            items=tuple(_kept(each, samples, place) for each in self.items),
            labels=tuple(replace(each, values=each.values[samples]) for each in self.labels),
            groups=None if self.groups is None else self.groups[samples],
            splits=None if self.splits is None else self.splits[samples],
        )

    def split(self, name: str) -> Pairs:
        """The samples of an official split.

        Raises:
            DataError: no sample is of that split.
        """
        known = [] if self.splits is None else sorted(set(self.splits.tolist()) - {""})
        if self.splits is None or name not in known:
            raise DataError(f"{self.name} has no split '{name}': {nearest(name, known)}")
        return self.chosen(self.splits == name)

    def held_out(self) -> str:
        """The official split to score on: "test", else "validation"; "" where there is neither."""
        known = set() if self.splits is None else set(self.splits.tolist())
        return next((name for name in ("test", "validation") if name in known), "")

    def fingerprint(self) -> str:
        """SHA-256 over ids, items (files by their content) and labels, in hex. Reads every file."""
        digest = hashlib.sha256(repr(self.ids.tolist()).encode())
        for each in self.items:
            digest.update(repr((each.name, each.domain, each.rows.tolist())).encode())
            digest.update(b"".join(each.digests))
        for label in self.labels:
            digest.update(repr((label.name, label.task, label.classes)).encode())
            digest.update(np.ascontiguousarray(label.values).tobytes())
        return digest.hexdigest()


def _kept(items: Items, samples: NDArray[np.bool_], place: NDArray[np.int64]) -> Items:
    inside = samples[items.rows]
    values = [items.values[int(index)] for index in np.flatnonzero(inside)]
    return replace(items, rows=place[items.rows[inside]], values=values)


def item_digest(item: Item) -> bytes:
    """SHA-256 of an item's content: equal items have equal digests, wherever they lie.

    Raises:
        DataError: a file cannot be read.
    """
    if isinstance(item, str):
        return hashlib.sha256(b"text" + item.encode()).digest()
    if isinstance(item, np.ndarray):
        shape = repr((item.shape, item.dtype.str)).encode()
        return hashlib.sha256(shape + np.ascontiguousarray(item).tobytes()).digest()
    return hashlib.sha256(b"file" + picture_bytes(item)).digest()


def picture_bytes(picture: bytes | Path) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: the file cannot be read.
    """
    if isinstance(picture, bytes):
        return picture
    try:
        return picture.read_bytes()
    except (OSError, ValueError) as error:  # a name may be none at all
        raise DataError(
            f"The image {picture} cannot be read: {error}. Check the folder."
        ) from error
