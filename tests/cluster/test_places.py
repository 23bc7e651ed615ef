"""A real cluster of two machines (by their addresses) refuses what only one of them has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address

from benchmarks.local_cluster import ENVIRONMENT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
GRID = "--models mca --sparsities 0.4 --seeds 0 --modalities zer mor --epochs 1 --name places --address"


@pytest.fixture(scope="module", params=[2, 1])
def cluster(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The address of a cluster of two nodes, and on how many machines they are."""
    os.environ.update(ENVIRONMENT)
    address: Any = get_node_ip_address
    head = address()
    other = "127.0.0.2" if request.param == 2 else head
    options: dict[str, Any] = {"include_dashboard": False, "node_ip_address": head}
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **options})
    made.add_node(num_cpus=1, node_ip_address=other)
    yield made.address, request.param
    made.shutdown()


def sweep(cluster: str, folder: Path, *places: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "sweeps/sparsity_grid.py"),
        *GRID.split(),
        cluster,
        *places,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def test_local_places_are_for_one_machine(cluster: tuple[str, int], tmp_path: Path) -> None:
    address, machines = cluster
    said = sweep(address, tmp_path)
    if machines == 1:
        assert said.returncode == 0, said.stderr
        return
    assert said.returncode == 2
    assert "Give --tracking-uri the address of an MLflow server" in said.stderr
    assert not (tmp_path / "storage").exists() or not list((tmp_path / "storage").iterdir())
    database = tmp_path / "mlruns/mlflow.db"
    assert (
        not database.exists() or not database.stat().st_size
    )  # refused before anything is written
