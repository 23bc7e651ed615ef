"""One run for each model of a sweep, with metrics at step = 100 x sparsity.

MLflow's line charts have the step below: so its pages show metric against sparsity, a line for each
model, without anything being set up. These runs stand beside the sweep's, not below it: what is below
a run is folded away at first, and what is folded away has no chart.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence

from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.tags import DATASET, KIND, MODEL, SWEEP, condition
from raymm.tracking import Store

SUMMARY, DIGEST, SEEDS = "summary", "raymm.digest", "seeds"
Point = tuple[str, float, int]


def model_of(result: CellResult) -> str:
    """A cell's model with its variant, as "mca" or "cbmf multiply"."""
    return condition(Cell(result.key, result.cell)).rpartition(" S=")[0]


def summary_points(results: Sequence[CellResult]) -> dict[str, list[Point]]:
    """Model -> (metric, mean over seeds, 100 x sparsity), and how many seeds that is the mean of.

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
    return {
        model: [
            (name, math.fsum(each) / (1 if name == SEEDS else len(each)), step)
            for (name, step), each in sorted(of_model.items())
        ]
        for model, of_model in values.items()
    }


def log_summaries(
    store: Store, sweep: str, dataset: str, results: Sequence[CellResult], time_ms: int
) -> dict[str, str]:
    """Make the summary runs of a sweep, anew where the numbers have changed; their ids by model.

    Raises:
        TrackingError: the store cannot be used.
    """
    there = store.runs(f"tags.`{KIND}` = '{SUMMARY}' and tags.`{SWEEP}` = '{sweep}'")
    runs: dict[str, str] = {}
    for model, points in summary_points(results).items():
        digest = hashlib.sha256(json.dumps(points).encode()).hexdigest()[:16]
        for run in (each for each in there if each.tags[MODEL] == model):
            if run.tags.get(DIGEST) == digest and model not in runs:
                runs[model] = run.run_id
            else:  # a point that is logged again would be a second one at its step
                store.delete(run.run_id)
        if model not in runs:
            tags = {KIND: SUMMARY, SWEEP: sweep, MODEL: model, DATASET: dataset}
            runs[model] = store.create(f"{model}: mean over seeds of {sweep}", tags)
            store.log(runs[model], points, time_ms, {DIGEST: digest})
            store.set_status(runs[model], "FINISHED")
    return runs
