"""What a search has found: the best trial of each condition, and the Pareto set of several goals."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import TrialRecord


def pareto(trials: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    """The complete trials that no other is at least as good as by all goals and better by one."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return [
        trial
        for trial in complete
        if not any(_dominates(other, trial, goals) for other in complete)
    ]


def chosen(trials: Sequence[TrialRecord], goals: Sequence[Objective]) -> TrialRecord | None:
    """The trial whose settings the search recommends; None if none is complete.

    The best by the first goal of the Pareto set; of equals the one best by the next goals, then the
    earliest.
    """
    found = pareto(trials, goals)
    return min(found, key=lambda trial: (_costs(trial, goals), trial.number), default=None)


def _dominates(one: TrialRecord, other: TrialRecord, goals: Sequence[Objective]) -> bool:
    ours, theirs = _costs(one, goals), _costs(other, goals)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def _costs(trial: TrialRecord, goals: Sequence[Objective]) -> tuple[float, ...]:
    """The trial's values, turned so that less is better."""
    return tuple(
        -trial.objectives[goal.metric] if goal.maximise else trial.objectives[goal.metric]
        for goal in goals
    )
