"""Which samples a task trains on, chooses on and is scored on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.data.dataset import Label
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError
from raymm.tasks.parts import only_label, parts
from tests.tasks.tiny import squares


def set_of(splits: list[str] | None, unlabelled: str = "") -> Pairs:
    pairs = squares(200, splits=splits)
    if splits is not None and unlabelled:
        (label,) = pairs.labels
        codes = np.where(np.array(splits) == unlabelled, -1, label.values)
        pairs = replace(pairs, labels=(replace(label, values=codes),))
    return pairs


def cycled(*names: str) -> list[str]:
    return [names[number % len(names)] for number in range(200)]


def label_of(pairs: Pairs) -> Label:
    return pairs.labels[0]


def test_official_splits_are_taken_as_they_are() -> None:
    found = parts(pairs := set_of(cycled("train", "validation", "test")), label_of(pairs))
    for place, positions in enumerate((found.train, found.validation, found.test)):
        np.testing.assert_array_equal(positions, np.arange(place, 200, 3))
    assert found.how == "official splits"


@pytest.mark.parametrize(
    ("splits", "unlabelled", "scored"),
    [
        (cycled("train", "validation", "test"), "test", "validation"),  # GLUE
        (cycled("train", "train", "validation"), "", "validation"),  # Tiny ImageNet
        (cycled("train", "train", "test"), "", "test"),  # CIFAR
    ],
)
def test_a_part_of_train_is_chosen_on_where_two_splits_are_labelled(
    splits: list[str], unlabelled: str, scored: str
) -> None:
    pairs = set_of(splits, unlabelled)
    found = parts(pairs, label_of(pairs))
    np.testing.assert_array_equal(found.test, np.flatnonzero(np.array(splits) == scored))
    inside = np.sort(np.concatenate([found.train, found.validation]))
    np.testing.assert_array_equal(inside, np.flatnonzero(np.array(splits) == "train"))
    assert 0 < len(found.validation) < len(found.train)
    assert scored in found.how


def test_without_splits_each_sample_is_in_one_part() -> None:
    found = parts(pairs := set_of(None), label_of(pairs))
    together = np.concatenate([found.train, found.validation, found.test])
    assert sorted(together.tolist()) == list(range(200))
    assert min(len(found.validation), len(found.test)) > 10


def test_samples_without_a_label_are_in_no_part() -> None:
    pairs = set_of(None)
    codes = label_of(pairs).values.copy()
    codes[:100] = -1
    found = parts(pairs, replace(label_of(pairs), values=codes))
    assert min(map(min, (found.train, found.validation, found.test))) >= 100


def test_a_set_without_labels_is_refused() -> None:
    pairs = set_of(None)
    nothing = replace(label_of(pairs), values=np.full(200, -1))
    with pytest.raises(DataError, match="no labelled sample for the validation part"):
        parts(pairs, nothing)
    with pytest.raises(DataError, match="one label for classification, and has none"):
        only_label(replace(pairs, labels=()), "classification")
