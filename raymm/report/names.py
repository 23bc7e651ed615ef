"""How metrics and models are ordered, labelled, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from raymm.config import MODEL_NAMES

Better = Literal["lower", "higher"]

_ORDER = (
    "uniformity/fusion",
    "uniformity/unimodal_mean",
    "uniformity/",
    "alignment/mean",
    "alignment/",
    "rank/median_mean",
    "rank/median_",
    "recall/at_1_mean",
    "recall/at_5_mean",
    "recall/at_10_mean",
    "recall/",
    "retrieval/gallery_size",
    "probe/auprc",
    "probe/loss",
    "probe/accuracy",
    "probe/pearson",
    "probe/",
    "loss/train",
    "loss/val",
    "loss/",
    "sparsity/realised",
    "sparsity/",
    "time/train_s",
    "throughput/samples_per_s",
    "memory/peak_gib",
)
"""Stable order of metrics; an entry that ends in "/" or "_" stands for all that begin with it."""

_LABELS = {
    "uniformity/fusion": "uniformity of fusion embeddings",
    "uniformity/unimodal_mean": "uniformity of unimodal embeddings",
    "alignment/mean": "alignment, unimodal to fusion",
    "rank/median_mean": "median rank",
    "recall/at_1_mean": "recall at 1",
    "recall/at_5_mean": "recall at 5",
    "recall/at_10_mean": "recall at 10",
    "probe/auprc": "probe average precision",
    "probe/loss": "probe loss",
    "probe/accuracy": "probe accuracy",
    "probe/pearson": "probe Pearson r",
    "loss/train": "train loss",
    "loss/val": "validation loss",
}

_MODEL_LABELS = {"zorro": "Zorro", "convirt": "ConVIRT"}

_HIGHER = ("recall/", "probe/auprc", "probe/accuracy", "probe/pearson", "throughput/")
_LOWER = ("uniformity/", "alignment/", "rank/", "probe/loss", "loss/", "time/", "memory/")

MAIN_PROBES = ("probe/auprc", "probe/pearson")
"""The probe metric that leads: average precision for classification, Pearson's r for regression."""
HEADLINE_METRICS = (*MAIN_PROBES, "rank/median_mean")
"""What a report opens with."""
MAIN_METRICS = (
    *MAIN_PROBES,
    "probe/accuracy",
    "probe/loss",
    "rank/median_mean",
    "recall/at_1_mean",
    "recall/at_5_mean",
    "recall/at_10_mean",
    "uniformity/fusion",
    "uniformity/unimodal_mean",
    "alignment/mean",
)
"""What tables of results show and tests compare."""


def ordered_metrics(names: Iterable[str]) -> list[str]:
    """Names without doubles in their stable order; of one rank, as they came."""
    return sorted(dict.fromkeys(names), key=_place)


def _place(name: str) -> int:
    if name in _ORDER:
        return _ORDER.index(name)
    prefixes = (i for i, entry in enumerate(_ORDER) if entry[-1] in "/_" and name.startswith(entry))
    return next(prefixes, len(_ORDER))


def model_place(model: str) -> tuple[int, str]:
    """Sort key of models: in the order of `MODEL_NAMES`, then by name."""
    known: tuple[str, ...] = MODEL_NAMES
    name = model.partition(",")[0]
    return (known.index(name) if name in known else len(known), model)


def model_label(model: str) -> str:
    """Name of a model for people: MCA, EAO and CBMF are abbreviations, Zorro is a name.

    What stands after the model's own name, as in "mca, sweep b", stays as it is.
    """
    name, comma, rest = model.partition(",")
    _, colon, own = name.rpartition(":")
    if colon:  # package.module:Class
        return own + comma + rest
    return _MODEL_LABELS.get(name, name.upper()) + comma + rest


def metric_label(metric: str) -> str:
    """Name of a metric for people; the metric's own name if there is no better one."""
    return _LABELS.get(metric, metric)


def better(metric: str) -> Better | None:
    """Which direction of a metric is better; None where neither is, or it is not known."""
    if metric.startswith(_HIGHER):
        return "higher"
    return "lower" if metric.startswith(_LOWER) else None


def directed_label(metric: str) -> str:
    """Label with the direction that is better, as "median rank (lower is better)"."""
    direction = better(metric)
    return metric_label(metric) + (f" ({direction} is better)" if direction else "")


def number(value: float, like: float | None = None) -> str:
    """A number with decimals that suit its size, or the size of `like`; "-" for nan."""
    if math.isnan(value):
        return "-"
    size = abs(value if like is None or math.isnan(like) else like)
    decimals = 3 if size < 10 else 1 if size < 1000 else 0
    return f"{value:,.{decimals}f}"


def listed(items: Iterable[str]) -> str:
    """Items as people write them: "a", "a and b", "a, b and c"."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
