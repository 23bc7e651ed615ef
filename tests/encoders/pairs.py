"""Pairs for tests, and an encoder that counts."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.data.sources.pairs.build import Column, build, classes
from raymm.data.sources.pairs.pairs import Item, Pairs
from raymm.encoders.base import Encoded, Encoder, EncoderModule, Inputs
from tests.encoders import pictures

COUNT = 30


def some_pairs(count: int = COUNT, broken: Sequence[int] = ()) -> Pairs:
    """Every image stands in two samples, every fifth sample has no text."""
    images: list[Item | None] = [pictures.png(pictures.noise(row // 2)) for row in range(count)]
    for row in broken:
        images[row] = b"no image at all"
    texts: list[Item | None] = [f"a cat on the mat {row}" for row in range(count)]
    texts[::5] = [None] * len(texts[::5])
    return build(
        "some pairs",
        [f"{row // 2:03d}#{row % 2}" for row in range(count)],
        {"image": Column("image", images), "text": Column("text", texts)},
        labels=[classes("side", [["left", "right"][row % 2] for row in range(count)])],
        licence="none",
    )


class Counting(Encoder):
    """An encoder that counts what it is asked to encode, and may be stopped."""

    def __init__(self, inner: Encoder, stop_after: int | None = None) -> None:
        self.inner, self.seen, self.stop_after = inner, 0, stop_after
        self.name, self.domain, self.width = inner.name, inner.domain, inner.width
        self.checksum, self.preprocessing = inner.checksum, inner.preprocessing

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        return self.inner.preprocess(items)

    def module(self) -> EncoderModule:
        return self.inner.module()

    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        if self.stop_after is not None and self.seen + len(items) > self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(items)
        return self.inner.encode(items, tokens=tokens)
