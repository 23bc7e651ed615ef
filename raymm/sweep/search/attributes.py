"""What a study keeps of a trial beside its settings and values, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from raymm.sweep.search import trials
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord

CELLS = "cells"
"""Keys of the trial's cells, in the order of the seeds."""
DEFAULT = "default"
"""True for the preset as it is."""
REASON = "reason"
"""Why it was pruned or failed."""
FOR_GOOD = "for_good"
"""Whether a failed trial would fail again."""
RETRIES = "retries"
"""Number of the failed trial whose settings it tries anew."""
LEAVES = "leaves"
"""Keys of the cells of a trial that is to be pruned: it is when nothing of them is left."""
COPY_OF = "copy_of"
"""Number of the trial with the same settings whose end it shares."""
STATES: Mapping[TrialState, trials.TrialState] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
"""States of trials that have begun, as we call them."""


def record_of(
    condition: Condition,
    goals: Sequence[Objective],
    trial: FrozenTrial,
    turned: Callable[[float], float],
) -> TrialRecord:
    """A trial as the rest of the program knows it.

    Args:
        turned: the pruner's metric from how the study keeps it.
    """
    seconds = None
    if trial.datetime_start is not None and trial.datetime_complete is not None:
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    complete = trial.state is TrialState.COMPLETE
    metrics = [goal.metric for goal in goals]
    return TrialRecord(
        condition=condition,
        number=trial.number,
        state=STATES[trial.state],
        params=dict(trial.params),
        objectives=dict(zip(metrics, trial.values, strict=True)) if complete else {},
        epochs={epoch: turned(v) for epoch, v in sorted(trial.intermediate_values.items())},
        is_default=bool(trial.user_attrs.get(DEFAULT)),
        reason=str(trial.user_attrs.get(REASON, "")),
        seconds=seconds,
    )


def may_be_retried(trial: FrozenTrial) -> bool:
    """Whether a trial has failed for a reason that need not come again."""
    return trial.state is TrialState.FAIL and not trial.user_attrs.get(FOR_GOOD, True)


def point_of(trial: FrozenTrial) -> dict[str, Any]:
    """Where a trial is in the space, or will be when its turn comes."""
    return dict(trial.params or trial.system_attrs.get("fixed_params", {}))
