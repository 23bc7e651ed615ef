"""Embedding a small set of pairs in this process, without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raymm.data.packed import PackedDataset
from raymm.data.sources.pairs.pairs import Pairs
from raymm.encoders.base import Encoder


def embed_pairs(
    pairs: Pairs, encoders: Mapping[str, Encoder], folder: str | Path, *, tokens: bool = False
) -> PackedDataset:
    """Embed pairs into a packed data set, or open the one that is there already.

    Args:
        pairs: any set of pairs.
        encoders: modality of the pairs -> its encoder. The same encoder may serve several.
        folder: to be made; if it holds the same pairs by the same encoders, nothing is computed.
        tokens: token sequences instead of pooled vectors.

    Raises:
        DataError: the folder holds something else (both checksums are named), too many images do
            not decode, or a modality is unknown.
    """
    raise NotImplementedError
