"""Sparsity masks: which modalities are dropped from which samples before training (SMDF 4.2).

Masks are nested (what is missing at S = 0.2 is missing at 0.4 too) and keyed by (seed, sample id,
modality name): they depend neither on the model nor on which other samples or modalities there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Dataset
from raymm.data.hashing import uniforms
from raymm.errors import ConfigError


def dropped(
    ids: NDArray[np.str_], modality_names: Sequence[str], sparsity: float, seed: int
) -> NDArray[np.bool_]:
    """Which modality is dropped from which sample, (samples, modalities).

    Raises:
        ConfigError: the sparsity is outside [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity = {sparsity!r} is out of range. Give a number in [0, 1).")
    mask = np.zeros((len(ids), len(modality_names)), dtype=np.bool_)
    if sparsity > 0:
        for column, name in enumerate(modality_names):
            mask[:, column] = uniforms(ids, "sparsity", seed, name) < sparsity
    return mask


def apply(dataset: Dataset, sparsity: float, seed: int) -> NDArray[np.bool_]:
    """Which sample still has which modality, (samples, modalities): in the data, not dropped.

    Raises:
        ConfigError: the sparsity is outside [0, 1).
    """
    names = [modality.name for modality in dataset.modalities]
    return dataset.presence() & ~dropped(dataset.ids, names, sparsity, seed)
