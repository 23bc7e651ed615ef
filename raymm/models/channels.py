"""Fusion channels and the pairs of embeddings a model contrasts.

A channel is a set of modalities, written as a tuple of their indices in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from raymm.errors import ConfigError

Channel = tuple[int, ...]
EXPLODES_BEYOND = 5
"""With more modalities than this, all 2^M channels are too many to be a default."""


def fusion_channels(modalities: int, orders: Sequence[int] = ()) -> tuple[Channel, ...]:
    """All sets of modalities of the given sizes, small ones first; the last is the set of all.

    Args:
        modalities: M, how many there are.
        orders: sizes of the sets; empty means 2..M for up to 5 modalities, else 2 and M.

    Raises:
        ConfigError: fewer than two modalities, an order above M, or M itself left out.
    """
    if modalities < 2:
        raise ConfigError(f"Fusion needs two modalities or more; this data set has {modalities}.")
    if not orders:
        few = modalities <= EXPLODES_BEYOND
        orders = range(2, modalities + 1) if few else (2, modalities)
    if max(orders) > modalities or modalities not in orders:
        raise ConfigError(
            f"channel_orders = {tuple(orders)} does not fit {modalities} modalities: give sizes from "
            f"2 to {modalities}, {modalities} among them (it is the fusion embedding)."
        )
    return tuple(
        channel
        for order in sorted(set(orders))
        for channel in combinations(range(modalities), order)
    )


def channel_name(channel: Channel, names: Sequence[str]) -> str:
    """The names of a channel's modalities, joined."""
    return "+".join(names[index] for index in channel)


def mca_pairs(modalities: int, channels: int) -> list[tuple[int, int]]:
    """Unimodal-unimodal, unimodal-channel and (all-modality channel)-channel pairs (SMDF 3).

    Embeddings are numbered modalities first, then channels, the all-modality channel last; with
    four modalities and eleven channels these are the 60 terms of the published code.
    """
    unimodal, fused = range(modalities), range(modalities, modalities + channels)
    pairs = list(combinations(unimodal, 2))
    pairs += [(one, channel) for channel in fused for one in unimodal]
    pairs += [(fused[-1], channel) for channel in fused[:-1]]
    return pairs


def eao_pairs(members: Sequence[Channel], which: str) -> list[tuple[int, int]]:
    """Pairs of EAO's embeddings: "all" of them, or the "disjoint" ones, which share no modality."""
    return [
        (first, second)
        for first, second in combinations(range(len(members)), 2)
        if which == "all" or not set(members[first]) & set(members[second])
    ]
