"""Trials of a search: what is dealt, and what is known of it afterwards. Knows nothing of Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from raymm.sweep.cells import Cell

TrialState = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Condition:
    """What a study belongs to: a model at a modal sparsity."""

    model: str
    sparsity: float

    @property
    def title(self) -> str:
        """Name for people: "mca S=0.6"."""
        return f"{self.model} S={self.sparsity:g}"


@dataclass(frozen=True)
class SearchTrial:
    """A point of a condition's space, and the cells that judge it: one for each seed."""

    condition: Condition
    number: int
    params: Mapping[str, Any]
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """Name for people: "mca S=0.6 trial 3"."""
        return f"{self.condition.title} trial {self.number}"


@dataclass(frozen=True)
class TrialRecord:
    """A trial as its study has it.

    Attributes:
        number: within its condition, from 0.
        params: what was searched.
        objectives: their means over the seeds, by metric; empty unless complete.
        epochs: mean over the seeds of what the pruner goes by, by epoch.
        is_default: whether it is the preset as it is.
        reason: why it failed or was pruned.
        seconds: from when it was begun to its end; None while it runs.
    """

    condition: Condition
    number: int
    state: TrialState
    params: Mapping[str, Any]
    objectives: Mapping[str, float] = field(default_factory=dict)
    epochs: Mapping[int, float] = field(default_factory=dict)
    is_default: bool = False
    reason: str = ""
    seconds: float | None = None


def mean_epochs(curves: Sequence[Sequence[Mapping[str, float]]], metric: str) -> dict[int, float]:
    """Mean over the cells of a metric at each epoch that all of them have reached.

    Args:
        curves: of each cell, epochs with "epoch" (1-based) and metrics.
    """
    by_cell = [
        {int(epoch["epoch"]): epoch[metric] for epoch in curve if metric in epoch}
        for curve in curves
    ]
    shared = set.intersection(*(set(epochs) for epochs in by_cell)) if by_cell else set()
    return {
        epoch: sum(epochs[epoch] for epochs in by_cell) / len(by_cell) for epoch in sorted(shared)
    }
