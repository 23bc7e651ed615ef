"""Tables of a search: its trials, the best settings of each condition, and what was gained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from rich import box
from rich.table import Table

from raymm.report.names import model_label, model_place, number, ordered_metrics
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import TrialRecord

TRIAL_COLUMNS = ("model", "sparsity", "trial", "state", "is_default", "epochs", "seconds", "reason")


def trials_frame(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """A row per trial, conditions in their order: `TRIAL_COLUMNS`, what was searched, objectives.

    `epochs` counts those that all seeds have reached; it is 0 where no pruner's metric was heard.
    What a model has no setting for, and objectives of trials that are not complete, are missing.
    """
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    metrics = ordered_metrics(name for trial in trials for name in trial.objectives)
    ordered = sorted(
        trials, key=lambda t: (model_place(t.condition.model), t.condition.sparsity, t.number)
    )
    rows = [
        (
            trial.condition.model,
            trial.condition.sparsity,
            trial.number,
            trial.state,
            trial.is_default,
            max(trial.epochs, default=0),
            math.nan if trial.seconds is None else round(trial.seconds, 3),
            trial.reason,
            *(trial.params.get(name) for name in params),
            *(trial.objectives.get(name, math.nan) for name in metrics),
        )
        for trial in ordered
    ]
    return pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *params, *metrics])


def best_frame(best: Sequence[Best], goals: Sequence[Objective]) -> pd.DataFrame:
    """A row per condition: the chosen trial, its settings, its objectives, and the preset's.

    For each objective three columns: its value, "default <metric>" and "gain <metric>", which is
    positive where the search has found something better. Then the metrics of the test split, which
    only the chosen settings have.
    """
    params = list(dict.fromkeys(name for found in best for name in found.trial.params))
    test = ordered_metrics(name for found in best for name in found.test)
    rows = []
    for found in best:
        row: dict[str, object] = {
            "model": found.condition.model,
            "sparsity": found.condition.sparsity,
            "trial": found.trial.number,
        }
        row |= {name: found.trial.params.get(name) for name in params}
        for goal in goals:
            value = found.trial.objectives[goal.metric]
            default = found.default.objectives[goal.metric] if found.default else math.nan
            row[goal.metric] = value
            row[f"default {goal.metric}"] = default
            row[f"gain {goal.metric}"] = gain(value, default, goal)
        row["pareto"] = " ".join(map(str, found.pareto))
        rows.append(row | {f"test {name}": found.test.get(name, math.nan) for name in test})
    return pd.DataFrame(rows)


def gain(value: float, default: float, goal: Objective) -> float:
    """By how much a value is better than the default's; negative where it is worse."""
    return value - default if goal.maximise else default - value


def best_table(best: Sequence[Best], goals: Sequence[Objective]) -> Table:
    """The best settings of each condition; four settings and an objective fit into 80 columns."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    params = list(dict.fromkeys(name for found in best for name in found.trial.params))
    for title in ("model", "S"):
        table.add_column(title, no_wrap=True)
    for title in (*params, *(goal.metric for goal in goals), "default"):
        lines = title.replace("_", "\n").replace("/", "/\n")
        table.add_column(lines, justify="right", no_wrap=True)
    for found in best:
        first = goals[0].metric
        table.add_row(
            model_label(found.condition.model),
            f"{found.condition.sparsity:g}",
            *(setting(found.trial.params.get(name)) for name in params),
            *(number(found.trial.objectives[goal.metric]) for goal in goals),
            number(found.default.objectives[first]) if found.default else "-",
        )
    return table


def setting(value: object) -> str:
    """A searched value for people; "-" where a model has no such setting."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def best_so_far(trials: Sequence[TrialRecord], goal: Objective) -> Mapping[int, float]:
    """The best value of an objective after each trial of one condition, by the trial's number."""
    better = max if goal.maximise else min
    best: dict[int, float] = {}
    so_far: float | None = None
    for trial in sorted(trials, key=lambda trial: trial.number):
        value = trial.objectives.get(goal.metric)
        if value is not None:
            so_far = value if so_far is None else better(so_far, value)
        if so_far is not None:
            best[trial.number] = so_far
    return best
