"""Train, validation and test: a sample's split is decided by its id and the split seed alone."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from raymm.data.hashing import uniforms

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
SPLIT_NAMES: Final = ("train", "validation", "test")


def assign(
    ids: NDArray[np.str_], *, seed: int, validation_fraction: float, test_fraction: float
) -> NDArray[np.int64]:
    """Split of each sample, (samples,): TRAIN, VALIDATION or TEST.

    A sample's split does not change when others are added or dropped, so the fractions are met on
    average, not exactly. The test split does not depend on the validation fraction. Samples of one
    group, such as 'photo#0' and 'photo#1', fall into one split: what comes before '#' decides.
    """
    place = places(ids, seed)
    held_out = np.where(place < test_fraction, TEST, VALIDATION)
    return np.where(place < test_fraction + validation_fraction, held_out, TRAIN).astype(np.int64)


def places(ids: NDArray[np.str_], seed: int) -> NDArray[np.float64]:
    """Where each sample stands in [0, 1), (samples,): the same for those of one group."""
    return uniforms((str(each).partition("#")[0] for each in ids), "split", seed)
