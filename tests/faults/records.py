"""What MLflow holds of cells: for the tests that prove that nothing is there twice."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from mlflow import MlflowClient


def runs_by_cell(uri: str) -> dict[str, list[Any]]:
    """All runs of cells that are not deleted, by cell key."""
    client = MlflowClient(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    found: dict[str, list[Any]] = defaultdict(list)
    for run in client.search_runs(experiments, "tags.`raymm.kind` = 'cell'", max_results=5000):
        found[run.data.tags["raymm.cell_key"]].append(run)
    return dict(found)


def check_points(uri: str, run: Any, epochs: int) -> None:
    """A curve has one point for each epoch, everything else one point."""
    client = MlflowClient(uri)
    for name in run.data.metrics:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
        curve = list(range(1, epochs + 1))
        assert sorted(steps) in (curve, [0]), f"{run.info.run_id} {name}: {sorted(steps)}"
    losses = client.get_metric_history(run.info.run_id, "loss/train")
    assert len(losses) == epochs
