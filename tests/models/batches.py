"""Made-up batches of tables and sequences with holes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.data.batch import Batch, Block
from raymm.data.blocks import like_lengths
from raymm.data.dataset import ModalitySpec

SPECS = (
    ModalitySpec("expression", "table", 5, 5),
    ModalitySpec("speech", "sequence", 3, 12),
    ModalitySpec("protein", "table", 7, 7, has_missing=True),
    ModalitySpec("video", "sequence", 4, 9),
    ModalitySpec("mirna", "table", 3, 3),
    ModalitySpec("methylation", "table", 4, 4),
)


def random_presence(samples: int, modalities: int, sparsity: float, seed: int) -> NDArray[np.bool_]:
    """Holes at random, but no sample without anything."""
    rng = np.random.default_rng(seed)
    presence = rng.random((samples, modalities)) >= sparsity
    empty = ~presence.any(axis=1)
    presence[empty, rng.integers(modalities, size=int(empty.sum()))] = True
    return presence


def random_batch(
    presence: NDArray[np.bool_], seed: int = 0, dtype: torch.dtype = torch.float32
) -> Batch:
    """Random values for the first modalities of `SPECS`, as many as `presence` has columns."""
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    for index in range(presence.shape[1]):
        spec, samples = SPECS[index], np.flatnonzero(presence[:, index])
        if spec.kind == "table":
            values = rng.normal(size=(len(samples), spec.width))
            if spec.has_missing:
                values[rng.random(values.shape) < 0.2] = np.nan
            table = torch.tensor(values, dtype=dtype)
            blocks.append(Block(index, torch.from_numpy(samples), table))
            continue
        lengths = rng.integers(1, spec.max_length + 1, size=len(samples))
        if not len(samples):
            none = torch.zeros(0, 1, spec.width, dtype=dtype)
            blocks.append(Block(index, torch.from_numpy(samples), none))
        for chosen in like_lengths(lengths):
            longest = int(lengths[chosen].max())
            vectors = rng.normal(size=(len(chosen), longest, spec.width))
            real = torch.from_numpy(lengths[chosen])
            blocks.append(
                Block(
                    index,
                    torch.from_numpy(samples[chosen]),
                    torch.tensor(vectors, dtype=dtype),
                    real if bool((real < longest).any()) else None,
                )
            )
    return Batch(presence, tuple(blocks))
