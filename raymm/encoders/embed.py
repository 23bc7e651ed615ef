"""Embedding a small set of pairs in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from raymm.data.packed import PackedDataset, open_packed
from raymm.data.sources.pairs.pairs import Pairs
from raymm.encoders.assemble import assemble, existing
from raymm.encoders.base import Encoder
from raymm.encoders.blocks import compute
from raymm.encoders.work import assigned, divided


def embed_pairs(
    pairs: Pairs,
    encoders: Mapping[str, Encoder],
    folder: str | Path,
    *,
    tokens: bool = False,
    label: str | None = None,
    progress: Callable[[int], None] = lambda items: None,
) -> PackedDataset:
    """Embed pairs into a packed data set, or open the one that is there already.

    It is the same folder that `raymm embed` makes. A run that was interrupted goes on.

    Args:
        pairs: any set of pairs.
        encoders: modality of the pairs -> its encoder. The same encoder may serve several.
        folder: to be made; if it holds the same pairs by the same encoders, nothing is computed.
        tokens: token sequences instead of pooled vectors.
        label: which of the pairs' labels to open it with; None if there is one at most.
        progress: told how many different items were just encoded.

    Raises:
        DataError: the folder holds something else (both checksums are named), or too many images
            do not decode.
        ConfigError: a modality is unknown, or of another domain than its encoder.
    """
    to = str(folder)
    works = divided(pairs, assigned(pairs, list(encoders.items())), to, tokens=tokens)
    if existing(to, [work.source for work in works]) is None:
        for work, (_, encoder) in zip(works, encoders.items(), strict=True):
            for number, place in work.missing().items():
                items = work.of_block(place)
                work.folder.write(number, compute(encoder, items, tokens=tokens))
                progress(len(items))
        assemble(pairs, works, to)
    return open_packed(to, label=label)
