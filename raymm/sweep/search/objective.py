"""What a search makes better: metrics of the validation split, and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raymm.data.dataset import Dataset
from raymm.errors import ConfigError, nearest

VALIDATION = "val/"
"""Begins the name of each metric of the validation split that the test split has too."""
HIGHER = ("recall/", "probe/auprc", "probe/accuracy", "probe/pearson")
"""Metrics of which more is better; of all others less is."""
COSTS = ("time/train_s", "memory/peak_gib", "parameters")
"""What a cell costs; no split decides it."""
EACH_EPOCH = ("loss/val", "loss/train")
"""What the training loop measures in every epoch, and a pruner may go by."""
PROBES = {
    "classification": ("probe/auprc", "probe/accuracy", "probe/loss"),
    "regression": ("probe/pearson", "probe/loss"),
}
PER_MODALITY = ("uniformity/{}", "alignment/{}", "rank/median_{}", "recall/at_1_{}",
                "recall/at_5_{}", "recall/at_10_{}")  # fmt: skip


@dataclass(frozen=True)
class Objective:
    """A metric, and which direction of it is better."""

    metric: str

    @property
    def maximise(self) -> bool:
        """Whether more of it is better."""
        return self.metric.removeprefix(VALIDATION).startswith(HIGHER)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna has it."""
        return "maximize" if self.maximise else "minimize"


def split_metrics(dataset: Dataset) -> list[str]:
    """Names of the metrics that a split of the data set is scored by, without prefix."""
    names = [modality.name for modality in dataset.modalities]
    metrics = ["uniformity/fusion", "uniformity/unimodal_mean"]
    metrics += [pattern.format("mean") for pattern in PER_MODALITY if "uniformity" not in pattern]
    metrics += [pattern.format(name) for name in names for pattern in PER_MODALITY]
    return metrics + list(PROBES[dataset.label.task] if dataset.label else ())


def default_objective(dataset: Dataset) -> str:
    """The leading probe metric; retrieval where the data set has no label."""
    metric = PROBES[dataset.label.task][0] if dataset.label else "recall/at_1_mean"
    return VALIDATION + metric


def objectives(metrics: Sequence[str], dataset: Dataset) -> tuple[Objective, ...]:
    """The objectives of a search, checked.

    Raises:
        ConfigError: a metric does not exist, or is one of the test split.
    """
    chosen = tuple(metrics) or (default_objective(dataset),)
    of_splits = split_metrics(dataset)
    known = [VALIDATION + name for name in of_splits] + [*EACH_EPOCH, *COSTS]
    for metric in chosen:
        if metric in of_splits:
            raise ConfigError(
                f"--objective {metric} is scored on the test split, which may not choose between "
                f"settings. Give its like of the validation split: {VALIDATION}{metric}."
            )
        if metric not in known:
            raise ConfigError(
                f"There is no metric '{metric}' to search by: {_close(metric, known)}"
            )
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"--objective {' '.join(chosen)}: give each metric only once.")
    return tuple(Objective(metric) for metric in chosen)


def _close(metric: str, known: Sequence[str]) -> str:
    """The nearest metric, also where only the prefix is missing or only part of it is given."""
    parts = [name for name in known if metric in name]
    return nearest(parts[0] if parts else metric, known)


def check_each_epoch(metric: str) -> None:
    """Make sure that a pruner can go by the metric.

    Raises:
        ConfigError: it is not measured in every epoch.
    """
    if metric not in EACH_EPOCH:
        raise ConfigError(
            f"--prune-on {metric} is not measured in every epoch, so no pruner can go by it. "
            f"Measured are: {', '.join(EACH_EPOCH)}."
        )
