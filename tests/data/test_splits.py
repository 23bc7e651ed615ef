from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from raymm.data.sparsity import dropped
from raymm.data.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION, assign

IDS = np.array([f"s{number}" for number in range(5000)])


def test_the_fractions_are_met() -> None:
    assigned = assign(IDS, seed=0, validation_fraction=0.15, test_fraction=0.1)
    counts = np.bincount(assigned, minlength=len(SPLIT_NAMES)) / len(IDS)
    assert counts[TRAIN] == pytest.approx(0.75, abs=0.02)
    assert counts[VALIDATION] == pytest.approx(0.15, abs=0.02)
    assert counts[TEST] == pytest.approx(0.1, abs=0.02)


def test_a_sample_keeps_its_split_whatever_the_others_are() -> None:
    def places(ids: NDArray[np.str_], seed: int = 3) -> NDArray[np.int64]:
        return assign(ids, seed=seed, validation_fraction=0.2, test_fraction=0.2)

    assigned = places(IDS)
    some = np.array([4, 99, 1234])
    np.testing.assert_array_equal(places(IDS[some]), assigned[some])
    assert (places(IDS, seed=4) != assigned).mean() > 0.3


def test_the_test_split_does_not_depend_on_validation() -> None:
    small = assign(IDS, seed=0, validation_fraction=0.1, test_fraction=0.15)
    large = assign(IDS, seed=0, validation_fraction=0.4, test_fraction=0.15)
    np.testing.assert_array_equal(small == TEST, large == TEST)


def test_splits_are_independent_of_masks() -> None:
    in_test = assign(IDS, seed=0, validation_fraction=0.15, test_fraction=0.15) == TEST
    mask = dropped(IDS, ["a"], 0.5, seed=0)[:, 0]
    assert mask[in_test].mean() == pytest.approx(0.5, abs=0.06)
