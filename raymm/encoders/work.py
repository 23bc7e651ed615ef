"""What is to be embedded: each modality's different items, cut into blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raymm.data.sources.pairs.pairs import Item, Items, Pairs
from raymm.encoders.base import Encoder
from raymm.encoders.blocks import BLOCK, BlockFolder, numbered
from raymm.encoders.record import Source
from raymm.errors import ConfigError, nearest


@dataclass(frozen=True)
class Work:
    """One modality of the result.

    Attributes:
        source: what decides its vectors.
        width: of its vectors.
        items: that are encoded.
        firsts: (different items,) places in `items` where each occurs first.
        number: (items,) which of the different ones each is.
        folder: where its blocks go.
    """

    source: Source
    width: int
    items: Items
    firsts: NDArray[np.int64]
    number: NDArray[np.int64]
    folder: BlockFolder

    def missing(self) -> dict[int, slice]:
        """The blocks that are not there yet: number -> which of the different items."""
        done = self.folder.done()
        return {n: place for n, place in numbered(len(self.firsts)) if n not in done}

    def of_block(self, place: slice) -> list[Item]:
        """The items of a block."""
        return [self.items.values[int(first)] for first in self.firsts[place]]


def assigned(
    pairs: Pairs, encoders: Sequence[tuple[str, Encoder]]
) -> dict[str, tuple[str, Encoder]]:
    """Which encoder encodes what.

    Args:
        pairs: what is encoded.
        encoders: modality -> encoder; a modality of "" stands for all that the encoder can encode.

    Returns:
        Modality of the result -> modality of the pairs, encoder. It has the pairs' name, and the
        encoder's after it where several encode the same.

    Raises:
        ConfigError: an encoder fits no modality, or a modality is unknown or of another domain.
    """
    chosen: list[tuple[str, Encoder]] = []
    for modality, encoder in encoders:
        fitting = [each.name for each in pairs.items if each.domain == encoder.domain]
        if modality and modality not in fitting:
            known = nearest(modality, fitting)
            raise ConfigError(
                f"'{encoder.name}' encodes {encoder.domain}s, and {pairs.name} has no such modality "
                f"'{modality}': {known}"
            )
        if not fitting:
            has = ", ".join(f"{each.name} ({each.domain})" for each in pairs.items)
            raise ConfigError(
                f"'{encoder.name}' encodes {encoder.domain}s, but {pairs.name} has {has}. Leave it "
                "out, or give an encoder of those."
            )
        chosen += [(each, encoder) for each in ([modality] if modality else fitting)]
    counts = {name: sum(name == other for other, _ in chosen) for name, _ in chosen}
    result: dict[str, tuple[str, Encoder]] = {}
    for modality, encoder in chosen:
        tail = re.sub(r"[^\w.-]+", "-", encoder.name.strip("/")).strip("-.")
        name = modality if counts[modality] == 1 else f"{modality}-{tail}"
        if name in result:
            raise ConfigError(f"'{encoder.name}' is to encode '{modality}' twice. Name it once.")
        result[name] = (modality, encoder)
    return result


def divided(
    pairs: Pairs, encoders: Mapping[str, tuple[str, Encoder]], to: str, *, tokens: bool
) -> list[Work]:
    """The work that makes a cache.

    Args:
        pairs: what is encoded; every file of it is read once, for its fingerprint.
        encoders: as `assigned` says.
        to: folder or address of the cache; its blocks lie beside it until it is whole.
        tokens: token sequences instead of pooled vectors.
    """
    fingerprint = pairs.fingerprint()
    works = []
    for name, (modality, encoder) in encoders.items():
        items = pairs.of(modality)
        source = Source(
            modality=name,
            items=modality,
            data=fingerprint,
            encoder=encoder.name,
            weights=encoder.checksum,
            preprocessing=encoder.preprocessing,
            tokens=tokens,
        )
        seen: dict[bytes, int] = {}
        number = [seen.setdefault(digest, len(seen)) for digest in items.digests]
        order = np.array(number, dtype=np.int64)
        _, firsts = np.unique(order, return_index=True)
        folder = BlockFolder(f"{blocks_of(to)}/{source.key[:20]}-{BLOCK}")
        works.append(Work(source, encoder.width, items, firsts.astype(np.int64), order, folder))
    return works


def blocks_of(to: str) -> str:
    """Where the blocks of a cache lie until it is whole."""
    return f"{to.rstrip('/')}.blocks"
