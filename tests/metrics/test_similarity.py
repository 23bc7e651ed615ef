"""Similarity of text pairs, against scikit-learn and slow versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, classification_report
from sklearn.metrics.pairwise import cosine_similarity

from raymm.errors import DataError, TrainingError
from raymm.metrics.similarity import (
    SIMILARITY_CLASSES,
    TOLERANCES,
    choose_threshold,
    cosines,
    paraphrase_metrics,
    similarity_class,
    similarity_metrics,
    tolerance_curve,
)

RNG = np.random.default_rng(0)


def test_cosines_are_those_of_sklearn_and_zero_for_a_zero_row() -> None:
    x, y = RNG.normal(size=(2, 20, 7)).astype(np.float32)
    x[3] = 0
    np.testing.assert_allclose(cosines(x, y), np.diag(cosine_similarity(x, y)), atol=1e-6)
    assert cosines(x, y)[3] == 0


def test_an_embedding_that_is_not_finite_has_no_cosine() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        cosines(np.array([[np.nan, 1]]), np.ones((1, 2)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=1, max_size=12))
def test_no_threshold_is_better_than_the_chosen_one(pairs: list[tuple[int, int]]) -> None:
    similarities = np.array([value / 4 for value, _ in pairs])
    labels = np.array([label for _, label in pairs])
    chosen = choose_threshold(similarities, labels)

    def accuracy(threshold: float) -> float:
        return float(((similarities >= threshold) == (labels == 1)).mean())

    best = max(accuracy(threshold) for threshold in np.linspace(-1.2, 1.2, 97))
    assert accuracy(chosen) == pytest.approx(best)
    assert chosen not in similarities


def test_the_middle_of_equally_good_thresholds_is_taken() -> None:
    # dissimilar below 0.2, similar above 0.8: the one threshold between them is in the middle
    assert choose_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])) == 0.5


def test_no_pair_no_threshold() -> None:
    with pytest.raises(DataError, match="no validation pair"):
        choose_threshold(np.empty(0), np.empty(0, np.int64))


def test_paraphrase_metrics_are_those_of_sklearn() -> None:
    similarities, labels = RNG.random(200), RNG.integers(0, 2, 200)
    metrics = paraphrase_metrics(similarities, labels, 0.4)
    said = similarities >= 0.4
    report = classification_report(labels, said, output_dict=True)
    assert metrics["paraphrase/accuracy"] == pytest.approx(accuracy_score(labels, said))
    for code, name in (("0", "dissimilar"), ("1", "similar")):
        for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            wanted = report[code][theirs]
            assert metrics[f"paraphrase/{ours}_{name}"] == pytest.approx(wanted)
    assert metrics["paraphrase/threshold"] == 0.4
    assert metrics["paraphrase/pairs"] == 200


def test_a_class_that_is_never_said_has_precision_0() -> None:
    metrics = paraphrase_metrics(np.ones(4), np.array([0, 1, 1, 1]), 0.5)
    assert metrics["paraphrase/precision_dissimilar"] == 0
    assert metrics["paraphrase/recall_similar"] == 1


def test_classes_of_scores() -> None:
    scores = np.array([0, 0.99, 1, 2.5, 3, 4, 4.9, 5])
    assert similarity_class(scores).tolist() == [0, 0, 1, 2, 3, 4, 4, 4]


def test_tolerance_curve_against_a_loop() -> None:
    similarities, scores = RNG.uniform(-1, 1, 150), RNG.uniform(0, 3.9, 150)
    curve = tolerance_curve(similarities, scores)
    assert curve.accuracy.shape == (5, 100)
    assert (TOLERANCES[0], TOLERANCES[-1]) == (0.1, 1.0)
    for code in range(4):
        for place in (0, 37, 99):
            hits = [
                abs(min(max(cosine, 0), 1) - score / 5) < TOLERANCES[place]
                for cosine, score in zip(similarities, scores, strict=True)
                if code <= score < code + 1
            ]
            assert curve.accuracy[code, place] == pytest.approx(sum(hits) / len(hits))
            assert curve.pairs[code] == len(hits)
    assert np.isnan(curve.accuracy[4]).all()


def test_similarity_metrics_sum_up_the_curve() -> None:
    similarities, scores = RNG.random(80), RNG.uniform(0, 5, 80)
    metrics = similarity_metrics(similarities, scores)
    wanted = spearmanr(similarities, scores).statistic
    assert metrics["similarity/spearman"] == pytest.approx(wanted)
    pearson = np.corrcoef(similarities, scores)[0, 1]
    assert metrics["similarity/pearson"] == pytest.approx(pearson)
    curve = tolerance_curve(similarities, scores)
    for name, accuracy in zip(SIMILARITY_CLASSES, curve.accuracy, strict=True):
        assert metrics[f"similarity/within_mean_{name}"] == pytest.approx(accuracy.mean())
    error = np.abs(similarities - scores / 5)
    everything = np.mean([(error < t).mean() for t in TOLERANCES])
    assert metrics["similarity/within_mean_all"] == pytest.approx(everything)


def test_constant_similarities_have_no_correlation() -> None:
    metrics = similarity_metrics(np.ones(5), np.arange(5.0))
    assert math.isnan(metrics["similarity/spearman"])
    assert math.isnan(metrics["similarity/pearson"])
