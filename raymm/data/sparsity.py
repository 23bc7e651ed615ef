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
    _check(sparsity)
    return _places(ids, modality_names, seed) < sparsity


def apply(dataset: Dataset, sparsity: float, seed: int) -> NDArray[np.bool_]:
    """Which sample still has which modality, (samples, modalities): in the data, not dropped.

    Raises:
        ConfigError: the sparsity is outside [0, 1).
    """
    _check(sparsity)
    if sparsity == 0:
        return dataset.presence()
    names = [modality.name for modality in dataset.modalities]
    places = dataset.remembered(("sparsity", seed), lambda: _places(dataset.ids, names, seed))
    return dataset.presence() & (places >= sparsity)


def _places(ids: NDArray[np.str_], modality_names: Sequence[str], seed: int) -> NDArray[np.float64]:
    """The sparsity from which on each sample lacks each modality, (samples, modalities)."""
    places = [uniforms(ids, "sparsity", seed, name) for name in modality_names]
    return np.stack(places, axis=1) if places else np.zeros((len(ids), 0))


def _check(sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity = {sparsity!r} is out of range. Give a number in [0, 1).")
