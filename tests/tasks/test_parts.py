"""Which samples a task trains on, chooses on and is scored on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raymm.data.dataset import Label
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError
from raymm.tasks.parts import label_of, parts, scored_part
from tests.data.sources.pairs import layouts
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


def own_label(pairs: Pairs) -> Label:
    return pairs.labels[0]


def test_official_splits_are_taken_as_they_are() -> None:
    found = parts(pairs := set_of(cycled("train", "validation", "test")), own_label(pairs))
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
    found = parts(pairs, own_label(pairs))
    np.testing.assert_array_equal(found.test, np.flatnonzero(np.array(splits) == scored))
    inside = np.sort(np.concatenate([found.train, found.validation]))
    np.testing.assert_array_equal(inside, np.flatnonzero(np.array(splits) == "train"))
    assert 0 < len(found.validation) < len(found.train)
    assert scored in found.how


def test_without_splits_each_sample_is_in_one_part() -> None:
    found = parts(pairs := set_of(None), own_label(pairs))
    together = np.concatenate([found.train, found.validation, found.test])
    assert sorted(together.tolist()) == list(range(200))
    assert min(len(found.validation), len(found.test)) > 10


def test_samples_without_a_label_are_in_no_part() -> None:
    pairs = set_of(None)
    codes = own_label(pairs).values.copy()
    codes[:100] = -1
    found = parts(pairs, replace(own_label(pairs), values=codes))
    assert min(map(min, (found.train, found.validation, found.test))) >= 100


def test_a_set_without_labels_is_refused() -> None:
    pairs = set_of(None)
    nothing = replace(own_label(pairs), values=np.full(200, -1))
    with pytest.raises(DataError, match="no labelled sample for the validation part"):
        parts(pairs, nothing)
    with pytest.raises(DataError, match="a label for classification, and has none"):
        label_of(replace(pairs, labels=()), "classification")


def test_of_several_labels_the_finest_is_taken(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.cifar100(tmp_path / "cifar-100-python")))
    assert [label.name for label in pairs.labels] == ["class", "coarse"]
    assert label_of(pairs, "classification").classes == ("apple", "aquarium fish")


@pytest.mark.parametrize(
    ("names", "scored"),
    [
        (("train", "validation", "test"), "test"),
        (("train", "train", "validation"), "validation"),  # COCO, Tiny ImageNet
    ],
)
def test_a_model_is_scored_on_what_is_held_out(names: tuple[str, ...], scored: str) -> None:
    pairs, words = scored_part(set_of(cycled(*names)))
    assert pairs.splits is not None and set(pairs.splits.tolist()) == {scored}
    assert words == f"the official {scored} split"


def test_a_set_without_splits_is_scored_as_a_whole() -> None:
    pairs, words = scored_part(set_of(None))
    assert len(pairs.ids) == 200 and words == "all samples"
    pairs, words = scored_part(set_of(cycled("train")))
    assert len(pairs.ids) == 200 and words == "all samples"
