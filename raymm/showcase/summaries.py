"""Runs that sum a sweep up, so that MLflow's line charts compare without anything being set up.

Of a grid one for each model, with metrics at step = 100 x sparsity: MLflow's line charts have the step
below, so its pages show metric against sparsity, a line for each model. Of a search one for each
condition, with objectives at step = trial. These runs stand beside the sweep's, not below it: what is
below a run is folded away at first, and what is folded away has no chart.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord
from raymm.sweep.tags import DATASET, KIND, MODEL, SPARSITY, SWEEP, condition
from raymm.tracking import Store

SUMMARY, DIGEST, SEEDS = "summary", "raymm.digest", "seeds"
Point = tuple[str, float, int]


@dataclass(frozen=True)
class Summary:
    """A run to be made.

    Attributes:
        name: for people; the same nowhere else in the sweep.
        tags: to group and filter by, besides kind, sweep and data set.
        points: (metric, value, step).
    """

    name: str
    tags: Mapping[str, str]
    points: Sequence[Point]


def model_of(result: CellResult) -> str:
    """A cell's model with its variant, as "mca" or "cbmf multiply"."""
    return condition(Cell(result.key, result.cell)).rpartition(" S=")[0]


def grid_summaries(sweep: str, results: Sequence[CellResult]) -> list[Summary]:
    """Of each model: means over seeds at step = 100 x sparsity, and how many seeds that is.

    A metric that a cell has not, or as no finite number, does not count.
    """
    values: dict[str, dict[tuple[str, int], list[float]]] = {}
    for result in results:
        if result.status == "finished":
            of_model = values.setdefault(model_of(result), {})
            step = round(100 * result.cell.data.sparsity)
            for name, value in {**result.metrics, SEEDS: 1.0}.items():
                if math.isfinite(value):
                    of_model.setdefault((name, step), []).append(value)
    return [
        Summary(
            f"{model}: mean over seeds of {sweep}",
            {MODEL: model},
            [
                (name, math.fsum(each) / (1 if name == SEEDS else len(each)), step)
                for (name, step), each in sorted(of_model.items())
            ],
        )
        for model, of_model in values.items()
    ]


def search_summaries(
    sweep: str, trials: Sequence[TrialRecord], goals: Sequence[Objective]
) -> list[Summary]:
    """Of each condition: objectives of its complete trials, the best so far, and the settings that
    are numbers, at step = trial."""
    by_condition: dict[Condition, list[TrialRecord]] = {}
    for trial in trials:
        if trial.state == "complete":
            by_condition.setdefault(trial.condition, []).append(trial)
    return [
        Summary(
            f"{of.title}: trials of {sweep}",
            {MODEL: of.model, SPARSITY: f"{of.sparsity:g}"},
            sorted(_points(sorted(done, key=lambda trial: trial.number), goals)),
        )
        for of, done in by_condition.items()
    ]


def _points(trials: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[Point]:
    points: list[Point] = []
    best: dict[str, float] = {}
    for trial in trials:
        for goal in goals:
            value = trial.objectives[goal.metric]
            better = max if goal.maximise else min
            best[goal.metric] = better(best.get(goal.metric, value), value)
            points.append((goal.metric, value, trial.number))
            points.append((f"best/{goal.metric}", best[goal.metric], trial.number))
        for name, setting in trial.params.items():
            if isinstance(setting, int | float) and not isinstance(setting, bool):
                points.append((f"setting/{name}", float(setting), trial.number))
    return points


def log_summaries(
    store: Store, sweep: str, dataset: str, summaries: Sequence[Summary], time_ms: int
) -> dict[str, str]:
    """Make the summary runs of a sweep, anew where the numbers have changed; their ids by name.

    Raises:
        TrackingError: the store cannot be used.
    """
    there = store.runs(f"tags.`{KIND}` = '{SUMMARY}' and tags.`{SWEEP}` = '{sweep}'")
    runs: dict[str, str] = {}
    for summary in summaries:
        digest = hashlib.sha256(json.dumps(summary.points).encode()).hexdigest()[:16]
        for run in (each for each in there if each.name == summary.name):
            if run.tags.get(DIGEST) == digest and summary.name not in runs:
                runs[summary.name] = run.run_id
            else:  # a point that is logged again would be a second one at its step
                store.delete(run.run_id)
        if summary.name not in runs:
            tags = {KIND: SUMMARY, SWEEP: sweep, DATASET: dataset, **summary.tags}
            runs[summary.name] = store.create(summary.name, tags)
            store.log(runs[summary.name], summary.points, time_ms, {DIGEST: digest})
            store.set_status(runs[summary.name], "FINISHED")
    return runs
