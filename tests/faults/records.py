"""What MLflow holds of cells: for the tests that prove that nothing is there twice."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from benchmarks.chaos_proof import points_of, runs_by_cell

__all__ = ["check_points", "runs_by_cell"]


def check_points(uri: str, run: Any, epochs: int) -> None:
    """A curve has one point for each epoch, everything else one point."""
    client = MlflowClient(uri)
    assert points_of(client, run, epochs)[1] == []
    losses = client.get_metric_history(run.info.run_id, "loss/train")
    assert len(losses) == epochs
