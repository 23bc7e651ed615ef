"""The classifier of linear classification and fine-tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from raymm.errors import ConfigError, DataError, TrainingError
from raymm.tasks.classifier import ClassifierSettings, train_classifier

RNG = np.random.default_rng(0)
CENTRES = 1.5 * RNG.normal(size=(3, 5))
LABELS = {split: RNG.integers(0, 3, 300) for split in ("train", "validation", "test")}
FEATURES = {
    split: (CENTRES[codes] + RNG.normal(size=(300, 5))).astype(np.float32)
    for split, codes in LABELS.items()
}
SETTINGS = ClassifierSettings(epochs=40, every=15, batch_size=50, learning_rate=0.05)


def inputs(split: str, positions: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(FEATURES[split][positions])


def linear(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(5, 3)


def test_it_classifies_as_logistic_regression_does() -> None:
    found = train_classifier(linear(), inputs, LABELS, SETTINGS)
    reference = LogisticRegression(C=100).fit(FEATURES["train"], LABELS["train"])
    for split, accuracy in (("test", found.test), ("validation", found.validation[30])):
        wanted = reference.score(FEATURES[split], LABELS[split])
        assert accuracy == pytest.approx(wanted, abs=0.02)
    assert found.test > 0.7


def test_it_looks_at_validation_every_so_many_epochs_and_reports_the_last_for_the_test() -> None:
    epochs: list[int] = []
    module = linear()
    found = train_classifier(module, inputs, LABELS, SETTINGS, epochs.append)
    assert list(found.validation) == [15, 30]
    assert epochs == [1] * 40
    said = module(torch.from_numpy(FEATURES["test"])).argmax(dim=1).numpy()
    assert found.test == pytest.approx((said == LABELS["test"]).mean())
    assert found.loss[-1] < found.loss[0]


def test_the_same_seed_gives_the_same_classifier() -> None:
    one, two = (train_classifier(linear(), inputs, LABELS, SETTINGS) for _ in range(2))
    assert one == two


def test_samples_without_a_label_do_not_count() -> None:
    hidden = {split: codes.copy() for split, codes in LABELS.items()}
    for codes in hidden.values():
        codes[::2] = -1
    seen: list[NDArray[np.int64]] = []

    def watched(split: str, positions: NDArray[np.int64]) -> Any:
        seen.append(positions)
        return inputs(split, positions)

    train_classifier(linear(), watched, hidden, SETTINGS)
    assert all((positions % 2 == 1).all() for positions in seen)
    nothing = {**hidden, "validation": np.full(300, -1)}
    with pytest.raises(DataError, match="validation split has no labelled"):
        train_classifier(linear(), inputs, nothing, SETTINGS)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    module = linear()
    nn.init.constant_(module.weight, float("nan"))
    with pytest.raises(TrainingError, match="in epoch 1"):
        train_classifier(module, inputs, LABELS, SETTINGS)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"every": 0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        ClassifierSettings(**bad)
