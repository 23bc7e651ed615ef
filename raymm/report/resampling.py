"""Metrics of a cell's test split when its samples are weighted, as a bootstrap over samples does.

Shapes: n samples, R resamples, M modalities, C classes. Ranks are those among the gallery as it is:
the gallery is not resampled with the queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Weights = NDArray[np.float32]
Floats = NDArray[np.float64]
Weighted = Callable[[pd.DataFrame, Weights], Floats]

LEAST = -1e30
"""Stands for the log-probability -inf of a class that the train split lacks: such scores tie."""


def weighted_metric(metric: str, samples: pd.DataFrame, weights: Weights) -> Floats | None:
    """A metric on each resample.

    Args:
        metric: stable name.
        samples: (n) rows of `raymm.training.samples.read_samples`.
        weights: (R, n) how often each sample is drawn.

    Returns:
        (R,), nan where a resample has nothing to compute it from; with all weights 1 the cell's own
        metric, but for float32's rounding of what was kept. None where the samples cannot tell it.
    """
    compute = WEIGHTED.get(metric)
    if compute is None or not _has(metric, samples):
        return None
    return compute(samples, weights)


def _has(metric: str, samples: pd.DataFrame) -> bool:
    if not metric.startswith("probe/"):
        return bool(samples.attrs["modalities"])
    if metric == "probe/loss":
        return "probe/loss" in samples
    kind = "regression" if metric == "probe/pearson" else "classification"
    return samples.attrs["task"] == kind and "probe/said" in samples


def _loss(samples: pd.DataFrame, weights: Weights) -> Floats:
    return _mean(samples["probe/loss"].to_numpy(np.float64), weights)


def _accuracy(samples: pd.DataFrame, weights: Weights) -> Floats:
    said, codes, known = _classified(samples)
    right = np.full(len(samples), math.nan)
    right[known] = said.argmax(axis=1) == codes
    return _mean(right, weights)


def _average_precision(samples: pd.DataFrame, weights: Weights) -> Floats:
    """Mean over the classes in a resample of the average precision, as scikit-learn defines it."""
    said, codes, known = _classified(samples)
    drawn = weights[:, known]
    by_class = [
        _precision_of(said[:, code], codes == code, drawn) for code in np.unique(codes).tolist()
    ]
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for precision in by_class:
        there = ~np.isnan(precision)
        total[there] += precision[there]
        classes += there
    return np.where(classes > 0, total / np.maximum(classes, 1), math.nan)


def _precision_of(scores: Floats, positive: NDArray[np.bool_], drawn: Weights) -> Floats:
    """Average precision on each resample of one class against the rest; nan where it is absent."""
    order = np.argsort(-scores, kind="stable")
    # Samples of equal score come in together: precision is read where a score ends.
    ends = np.flatnonzero(np.diff(scores[order], append=-math.inf if len(scores) else 0.0))
    in_order = drawn[:, order]
    taken = np.cumsum(in_order, axis=1)[:, ends]
    found = np.cumsum(in_order * positive[order], axis=1)[:, ends]
    precision = found / np.maximum(taken, 1)
    steps = np.diff(found, axis=1, prepend=0.0)
    most = found[:, -1].astype(np.float64)
    area = (precision * steps).sum(axis=1, dtype=np.float64)
    return np.where(most > 0, area / np.maximum(most, 1), math.nan)


def _pearson(samples: pd.DataFrame, weights: Weights) -> Floats:
    said = samples["probe/said"].to_numpy(np.float64)
    label = samples["label"].to_numpy(np.float64)
    known = ~np.isnan(said)
    drawn = weights[:, known].astype(np.float64)
    # Centred first: moments of numbers far from 0 would cancel.
    x, y = said[known] - said[known].mean(), label[known] - label[known].mean()
    total = drawn.sum(axis=1)
    mean_x, mean_y = drawn @ x / total, drawn @ y / total
    spread_x = drawn @ (x * x) / total - mean_x**2
    spread_y = drawn @ (y * y) / total - mean_y**2
    both = drawn @ (x * y) / total - mean_x * mean_y
    norm = np.sqrt(np.maximum(spread_x * spread_y, 0))
    return np.where(norm > 0, both / np.where(norm > 0, norm, 1), math.nan)


def _median_rank(samples: pd.DataFrame, weights: Weights) -> Floats:
    return _over_modalities(samples, weights, _median)


def _recall(k: int) -> Weighted:
    def compute(samples: pd.DataFrame, weights: Weights) -> Floats:
        def within(ranks: Floats, drawn: Weights) -> Floats:
            return _mean(np.where(np.isnan(ranks), math.nan, ranks <= k), drawn)

        return _over_modalities(samples, weights, within)

    return compute


def _over_modalities(
    samples: pd.DataFrame, weights: Weights, of: Callable[[Floats, Weights], Floats]
) -> Floats:
    """Mean over the modalities that a resample has, of what `of` makes of their ranks."""
    each = np.stack(
        [of(samples[f"rank/{name}"].to_numpy(np.float64), weights) for name in _names(samples)]
    )
    there = ~np.isnan(each)
    count = there.sum(axis=0)
    return np.where(
        count > 0, np.where(there, each, 0).sum(axis=0) / np.maximum(count, 1), math.nan
    )


def _names(samples: pd.DataFrame) -> list[str]:
    return [str(name) for name in samples.attrs["modalities"]]


def _mean(values: Floats, weights: Weights) -> Floats:
    known = ~np.isnan(values)
    drawn = weights[:, known].astype(np.float64)
    total = drawn.sum(axis=1)
    return np.where(total > 0, drawn @ values[known] / np.maximum(total, 1), math.nan)


def _median(values: Floats, weights: Weights) -> Floats:
    """Weighted median, the mean of the middle two where they are two."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.full(len(weights), math.nan)
    order = known[np.argsort(values[known], kind="stable")]
    run = np.cumsum(weights[:, order], axis=1)
    total = run[:, -1:]
    last = len(order) - 1
    lower = np.minimum((2 * run < total).sum(axis=1), last)
    upper = np.minimum((2 * run <= total).sum(axis=1), last)
    middle = (values[order[lower]] + values[order[upper]]) / 2
    return np.where(total[:, 0] > 0, middle, math.nan)


def _classified(samples: pd.DataFrame) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Log-probabilities (k, C) and codes (k,) of the labelled samples, and which they are (n,)."""
    known = samples["label"].to_numpy() >= 0
    said = np.stack(samples.loc[known, "probe/said"].to_list()).astype(np.float64)
    said = np.maximum(said, LEAST)
    codes = samples.loc[known, "label"].to_numpy(np.int64)
    return said, codes, known


WEIGHTED: Mapping[str, Weighted] = {
    "probe/loss": _loss,
    "probe/accuracy": _accuracy,
    "probe/auprc": _average_precision,
    "probe/pearson": _pearson,
    "rank/median_mean": _median_rank,
    "recall/at_1_mean": _recall(1),
    "recall/at_5_mean": _recall(5),
    "recall/at_10_mean": _recall(10),
}
"""What can be told from a cell's samples; uniformity and alignment cannot."""
