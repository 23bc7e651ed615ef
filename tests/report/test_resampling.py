"""Metrics of weighted samples are those of the samples written out as often as they are drawn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import average_precision_score

from raymm.report.bootstrap import resample_weights
from raymm.report.resampling import WEIGHTED, weighted_metric

MODALITIES = ["fou", "kar"]


def classified(n: int = 40, classes: int = 4, seed: int = 0) -> pd.DataFrame:
    """Samples with ties among scores, absent modalities and unlabelled ones."""
    generator = np.random.default_rng(seed)
    label = generator.integers(-1, classes, n)
    said = np.round(generator.normal(size=(n, classes)), 1)
    said[np.arange(n), label] += 1
    lists = [None if code < 0 else row.tolist() for code, row in zip(label, said, strict=True)]
    loss = np.where(label < 0, math.nan, -said[np.arange(n), label])
    frame = pd.DataFrame({"label": label, "probe/loss": loss})
    frame["probe/said"] = pd.Series(lists, dtype=object)
    for name in MODALITIES:
        ranks = generator.integers(1, 15, n).astype(float)
        frame[f"rank/{name}"] = np.where(generator.random(n) < 0.3, math.nan, ranks)
    frame.attrs = {"modalities": MODALITIES, "task": "classification", "classes": ["a"] * classes}
    return frame


def written_out(frame: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    return frame.loc[np.repeat(np.arange(len(frame)), weights.astype(int))].reset_index(drop=True)


def slowly(metric: str, frame: pd.DataFrame) -> float:
    known = frame[frame["label"] >= 0] if "label" in frame else frame
    if metric == "probe/loss":
        return float(np.nanmean(frame["probe/loss"]))
    if metric in ("probe/accuracy", "probe/auprc"):
        said, label = np.stack(known["probe/said"].to_list()), known["label"].to_numpy()
        if metric == "probe/accuracy":
            return float((said.argmax(axis=1) == label).mean())
        present = np.unique(label)
        return float(np.mean([average_precision_score(label == c, said[:, c]) for c in present]))
    by_modality = [frame[f"rank/{name}"].dropna() for name in MODALITIES]
    if metric == "rank/median_mean":
        return float(np.mean([ranks.median() for ranks in by_modality]))
    k = int(metric.removeprefix("recall/at_").removesuffix("_mean"))
    return float(np.mean([(ranks <= k).mean() for ranks in by_modality]))


@pytest.mark.parametrize("metric", sorted(set(WEIGHTED) - {"probe/pearson"}))
def test_weights_count_samples(metric: str) -> None:
    frame = classified()
    weights = resample_weights(len(frame), 25, np.random.default_rng(1))
    found = weighted_metric(metric, frame, weights)
    assert found is not None
    expected = [slowly(metric, written_out(frame, row)) for row in weights]
    assert found == pytest.approx(expected, rel=1e-5)


def test_pearson_far_from_zero() -> None:
    generator = np.random.default_rng(0)
    label = 1e4 + generator.normal(size=30)
    said = label + generator.normal(size=30)
    said[3] = label[3] = math.nan
    frame = pd.DataFrame({"label": label, "probe/said": said})
    frame.attrs = {"modalities": MODALITIES, "task": "regression", "classes": []}
    weights = resample_weights(30, 10, generator)
    found = weighted_metric("probe/pearson", frame, weights)
    expected = []
    for row in weights:
        drawn = written_out(frame, row).dropna()
        expected.append(pearsonr(drawn["probe/said"], drawn["label"]).statistic)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_class_that_was_never_learnt_ties_at_the_bottom() -> None:
    frame = classified(12, classes=3)
    frame["label"] = [0, 1, 2] * 4
    frame["probe/said"] = pd.Series([[-0.1, -2.4, -math.inf]] * 12, dtype=object)
    found = weighted_metric("probe/auprc", frame, np.ones((1, 12), dtype=np.float32))
    assert found == pytest.approx([1 / 3])  # constant scores: the share of each class


def test_what_samples_cannot_tell_is_none() -> None:
    frame, ones = classified(), np.ones((1, 40), dtype=np.float32)
    assert weighted_metric("uniformity/fusion", frame, ones) is None
    assert weighted_metric("probe/pearson", frame, ones) is None
    assert weighted_metric("probe/auprc", frame.drop(columns="probe/said"), ones) is None


def test_resamples_without_anything_to_count_are_nan() -> None:
    frame = classified()
    nothing = np.zeros((1, len(frame)), dtype=np.float32)
    for metric in set(WEIGHTED) - {"probe/pearson"}:
        found = weighted_metric(metric, frame, nothing)
        assert found is not None and np.isnan(found).all()
