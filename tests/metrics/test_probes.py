from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torchmetrics.classification import MulticlassAveragePrecision

from raymm.errors import DataError, TrainingError
from raymm.metrics import probes
from raymm.metrics.probes import PENALTIES, probe_metrics

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def classified(
    n: int, classes: int = 4, d: int = 6, seed: int = 0, spread: float = 1.0
) -> tuple[Floats, Codes]:
    """Samples around class centres (the same for every seed), far from standardised."""
    centres = np.random.default_rng(99).normal(size=(classes, d)) * spread
    generator = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = centres[y] + generator.normal(size=(n, d))
    return x * np.geomspace(0.01, 100, d) + 30, y


def targets(n: int, d: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    weights = np.random.default_rng(99).normal(size=d)
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, d))
    y = 100 + 20 * (x @ weights + generator.normal(size=n))
    return x * np.geomspace(0.01, 100, d) + 30, y


def fitted(
    train: tuple[Floats, Codes], x: Floats, penalty: float
) -> tuple[LogisticRegression, Floats]:
    scaler = StandardScaler().fit(train[0])
    model = LogisticRegression(C=1 / (penalty * len(train[1])), tol=1e-8, max_iter=10_000)
    return model.fit(scaler.transform(train[0]), train[1]), scaler.transform(x)


def test_classification_equals_scikit_learn_with_the_penalty_chosen_on_validation() -> None:
    train, validation, test = (classified(n, seed=n, spread=0.5) for n in (90, 60, 80))
    losses = {}
    for penalty in PENALTIES:
        model, x = fitted(train, validation[0], penalty)
        losses[penalty] = log_loss(validation[1], model.predict_proba(x))
    chosen = min(losses, key=lambda penalty: losses[penalty])
    assert chosen not in (PENALTIES[0], PENALTIES[-1])
    model, x = fitted(train, test[0], chosen)
    probabilities = model.predict_proba(x)
    precision = MulticlassAveragePrecision(num_classes=4, average="macro", thresholds=None)

    found = probe_metrics("classification", 4, train, validation, test)

    assert found["probe/loss"] == pytest.approx(log_loss(test[1], probabilities), rel=1e-3)
    assert found["probe/accuracy"] == (probabilities.argmax(axis=1) == test[1]).mean()
    expected = precision(torch.from_numpy(probabilities), torch.from_numpy(test[1])).item()
    assert found["probe/auprc"] == pytest.approx(expected, rel=1e-3)
    assert 0.4 < found["probe/auprc"] < 0.99


def test_two_classes() -> None:
    train, validation, test = (classified(n, 2, seed=n) for n in (80, 60, 90))
    found = probe_metrics("classification", 2, train, validation, test)
    assert found["probe/accuracy"] > 0.8 and found["probe/loss"] < 0.5


def test_labels_without_relation_to_the_embeddings_stand_at_chance() -> None:
    def noise(n: int, seed: int) -> tuple[Floats, Codes]:
        x, y = classified(n, seed=seed, spread=0)
        return x, y

    found = probe_metrics("classification", 4, noise(800, 1), noise(400, 2), noise(400, 3))
    assert found["probe/loss"] == pytest.approx(math.log(4), abs=0.03)
    assert found["probe/auprc"] == pytest.approx(0.25, abs=0.05)


def test_unlabelled_samples_are_left_out() -> None:
    splits = [classified(n, seed=n) for n in (80, 60, 90)]
    with_holes = [
        (np.concatenate([x, np.full((3, 6), 1e9)]), np.append(y, [-1, -1, -1])) for x, y in splits
    ]
    expected = probe_metrics("classification", 4, *splits)
    assert probe_metrics("classification", 4, *with_holes) == expected


def test_a_class_the_train_split_lacks_counts_as_wrong_but_not_in_the_cross_entropy() -> None:
    train, validation, test = (classified(n, seed=n) for n in (80, 60, 100))
    known = (train[0][train[1] != 2], train[1][train[1] != 2])
    found = probe_metrics("classification", 5, known, validation, test)
    seen = test[1] != 2
    without = probe_metrics("classification", 5, known, validation, (test[0][seen], test[1][seen]))

    assert found["probe/loss"] == without["probe/loss"]
    assert found["probe/accuracy"] == pytest.approx(without["probe/accuracy"] * seen.mean())
    # The mean over four classes present, one of them at chance: its share of the test split. (The
    # others lose precision to its samples; the fifth class, absent from test, does not count.)
    assert found["probe/auprc"] <= (3 * without["probe/auprc"] + 0.25) / 4 + 1e-9


def test_confident_probes_do_not_underflow() -> None:
    x = np.linspace(-1, 1, 40)[:, None]
    y = (x[:, 0] > 0).astype(np.int64)
    far = np.array([[1e6], [-1e6]])
    found = probe_metrics("classification", 2, (x, y), (x, y), (far, np.array([0, 1])))
    assert math.isfinite(found["probe/loss"]) and found["probe/loss"] > 1e3


def test_log_probabilities_are_the_softmax_of_the_scores() -> None:
    x, y = classified(60, 3)
    model = LogisticRegression(max_iter=10_000).fit(StandardScaler().fit_transform(x), y)
    found = probes._log_probabilities(model, x[:5], 4)
    assert found[:, :3] == pytest.approx(log_softmax(model.decision_function(x[:5]), axis=1))
    assert (found[:, 3] == -np.inf).all()


def test_constant_components_carry_nothing() -> None:
    splits = [classified(n, seed=n) for n in (80, 60, 90)]
    rounding = np.float64(0.3) + np.array([0, 1e-9, -1e-9])

    def widened(x: Floats) -> Floats:
        return np.hstack([x, np.full((len(x), 1), 7.0), rounding[np.arange(len(x)) % 3, None]])

    expected = probe_metrics("classification", 4, *splits)
    found = probe_metrics("classification", 4, *((widened(x), y) for x, y in splits))
    assert found == pytest.approx(expected, rel=1e-6)


def test_regression_recovers_a_noisy_line_in_the_labels_unit() -> None:
    train, validation, test = (targets(n, seed=n) for n in (2000, 500, 500))
    found = probe_metrics("regression", 0, train, validation, test)
    # The noise is normal with standard deviation 20, so the best possible error is 20 sqrt(2 / pi).
    assert found["probe/loss"] == pytest.approx(20 * math.sqrt(2 / math.pi), rel=0.06)
    assert 0.8 < found["probe/pearson"] < 1


def test_regression_does_not_depend_on_the_labels_unit() -> None:
    splits = [targets(n, seed=n) for n in (100, 60, 80)]
    scaled = [(x, 1000 * y - 7) for x, y in splits]
    one, other = (probe_metrics("regression", 0, *s) for s in (splits, scaled))
    assert other["probe/loss"] == pytest.approx(1000 * one["probe/loss"], rel=1e-4)
    assert other["probe/pearson"] == pytest.approx(one["probe/pearson"], rel=1e-4)


def test_pearson_is_scipys() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    assert probes._pearson(x, y) == pytest.approx(pearsonr(x, y).statistic)
    assert math.isnan(probes._pearson(np.ones(4), y[:4])) and math.isnan(
        probes._pearson(x[:1], y[:1])
    )


def test_unlabelled_targets_are_left_out() -> None:
    splits = [targets(n, seed=n) for n in (100, 60, 80)]
    holed = [(np.concatenate([x, x[:2] * 1e6]), np.append(y, [np.nan, np.nan])) for x, y in splits]
    assert probe_metrics("regression", 0, *holed) == probe_metrics("regression", 0, *splits)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_split_without_labels_is_an_error(empty: int) -> None:
    splits = [classified(20, seed=n) for n in range(3)]
    splits[empty] = (splits[empty][0], np.full(20, -1))
    name = ("train", "validation", "test")[empty]
    with pytest.raises(DataError, match=f"None of the 20 samples of the {name} split has a label"):
        probe_metrics("classification", 4, *splits)


def test_a_train_split_of_one_class_is_an_error() -> None:
    x, y = classified(20)
    with pytest.raises(DataError, match="all of class 3"):
        probe_metrics("classification", 4, (x, np.full(20, 3)), (x, y), (x, y))


def test_splits_with_no_class_in_common_are_an_error() -> None:
    x, y = classified(20, 2)
    with pytest.raises(DataError, match="No class of the train split"):
        probe_metrics("classification", 3, (x, y), (x, y), (x, np.full(20, 2)))


def test_embeddings_that_are_not_finite_are_an_error() -> None:
    x, y = classified(20)
    broken = x.copy()
    broken[3, 2] = np.nan
    with pytest.raises(TrainingError, match="validation split are not finite"):
        probe_metrics("classification", 4, (x, y), (broken, y), (x, y))


def test_giving_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ITERATIONS", (1, 1))
    splits = [classified(60, seed=n) for n in range(3)]
    with pytest.raises(
        TrainingError, match=r"did not converge in 2 iterations at L2 penalty 10 .*"
    ):
        probe_metrics("classification", 4, *splits)


def test_the_built_in_grids_size_takes_about_a_second() -> None:
    splits = [classified(n, 10, d=512, seed=n, spread=0.2) for n in (1400, 300, 300)]
    start = time.perf_counter()
    probe_metrics("classification", 10, *splits)
    assert time.perf_counter() - start < 10  # 0.2 s on an idle core; the machine may be busy
