"""What cannot be trained on is refused before training; `prepare`'s own tests cover the division."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from raymm.config import DataConfig
from raymm.data import sparsity, splits
from raymm.data.dataset import Dataset, Label, Modality, Task
from raymm.data.feasible import check_feasible, divide
from raymm.errors import DataError

COUNT = 200
CONFIG = DataConfig(sparsity=0.5)
IDS = np.array([f"s{number:03d}" for number in range(COUNT)])
SPLIT = splits.assign(IDS, seed=0, validation_fraction=0.15, test_fraction=0.15)


def dataset(
    values: NDArray[np.int64] | NDArray[np.float32] | None = None, task: Task = "classification"
) -> Dataset:
    rows = np.arange(COUNT)
    full = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    pair = tuple(Modality(name, "table", rows, full, None, ("x", "y")) for name in "ab")
    label = None
    if values is not None:
        label = Label("y", task, values, ("cat", "dog", "eel") if task != "regression" else ())
    return Dataset("made", IDS, pair, label, "print")


def kept() -> NDArray[np.bool_]:
    """Which samples the mask leaves something of."""
    left = sparsity.apply(dataset(), CONFIG.sparsity, CONFIG.mask_seed)
    return np.asarray(left.any(axis=1))


def of(split: str) -> NDArray[np.bool_]:
    """Which samples would be in a split if nothing were masked."""
    return np.equal(SPLIT, splits.SPLIT_NAMES.index(split))


def test_what_is_in_order_passes() -> None:
    check_feasible(dataset(), CONFIG)
    check_feasible(dataset(np.arange(COUNT) % 3), CONFIG)
    check_feasible(dataset(np.zeros(COUNT, np.float32), "regression"), CONFIG)


def test_the_division_is_mask_and_split() -> None:
    division = divide(dataset(), CONFIG)
    np.testing.assert_array_equal(division.split, np.where(kept(), SPLIT, -1))
    masked = sparsity.apply(dataset(), CONFIG.sparsity, CONFIG.mask_seed)
    np.testing.assert_array_equal(division.presence, masked)


def test_an_empty_split_and_a_modality_nobody_trains_on() -> None:
    with pytest.raises(DataError, match=r"The test split is empty: .* of 200 .*0\.5.*Use more"):
        check_feasible(dataset(), dataclasses.replace(CONFIG, test_fraction=1e-9))
    tested = np.flatnonzero(SPLIT == splits.TEST)
    few = Modality(
        "few", "table", tested, np.eye(len(tested), 2, dtype=np.float32), None, ("x", "y")
    )
    data = dataclasses.replace(dataset(), modalities=(*dataset().modalities, few))
    with pytest.raises(DataError, match=r"No sample of the train split has the modality 'few'"):
        check_feasible(data, CONFIG)


@pytest.mark.parametrize("split", splits.SPLIT_NAMES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_split_without_a_label_that_the_mask_leaves(split: str, task: Task) -> None:
    """Labels stay on the samples that the mask drops: with those alone nothing can be scored."""
    gone = of(split) & kept()
    values: NDArray[np.int64] | NDArray[np.float32] = np.where(gone, -1, np.arange(COUNT) % 3)
    if task == "regression":
        values = np.where(gone, np.nan, np.arange(COUNT)).astype(np.float32)
    assert (of(split) & ~gone).any()
    with pytest.raises(DataError, match=rf"the {split} split has a value of the label 'y'.*0\.5"):
        check_feasible(dataset(values, task), CONFIG)
    check_feasible(dataset(values, task), DataConfig())


def test_one_class_to_train_on() -> None:
    values = np.where((SPLIT == splits.TRAIN) & kept(), 1, np.arange(COUNT) % 3)
    with pytest.raises(DataError, match=r"all of class 'dog' of the label 'y'.*nothing for"):
        check_feasible(dataset(values), CONFIG)
    check_feasible(dataset(values), DataConfig())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_classes_that_nothing_was_trained_on(split: str) -> None:
    values = np.where(of(split), 2, np.arange(COUNT) % 2)
    with pytest.raises(DataError, match=rf"that the train split has appears in the {split} split"):
        check_feasible(dataset(values), CONFIG)
