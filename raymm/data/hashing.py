"""Uniform numbers that belong to a sample for good: hashes of its id and of what they decide."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

BITS = 53
"""Bits of a float64 that a number in [0, 1) can hold exactly."""


def uniforms(ids: Iterable[str], *decides: str | int) -> NDArray[np.float64]:
    """One number in [0, 1) for each id, (n,): the same everywhere, whatever the other ids are.

    Args:
        ids: sample ids.
        decides: what the numbers are for (purpose, seed, ...); other values, independent numbers.
    """
    prefix = hashlib.blake2b(repr(decides).encode(), digest_size=8)
    numbers = []
    for sample in ids:
        state = prefix.copy()
        state.update(str(sample).encode())
        numbers.append(int.from_bytes(state.digest(), "big") >> (64 - BITS))
    places: NDArray[np.float64] = np.array(numbers, dtype=np.float64) / 2**BITS
    return places
