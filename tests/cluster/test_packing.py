"""Workers of one cell are on one node where such nodes are there, on a Ray of several nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from benchmarks.local_cluster import started
from raymm.config import CellConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.training.cluster import connected, room_on_cluster
from raymm.training.dispatch import Task
from raymm.training.pool import PoolSettings, WorkerPool

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

DATASET = Dataset("tiny", np.array(["a", "b", "c"]), (), None, "f")
CELLS = 3


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs, to which nodes can be added."""
    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
    made: Any = started(lambda: Cluster(initialize_head=True, head_node_args=head))
    yield made
    made.shutdown()


def nodes_of_cells(address: str, folder: Path) -> list[tuple[float, float]]:
    """Train cells of two workers each; of each cell its workers, and the nodes they were on."""
    settings = PoolSettings(workers=2, storage=str(folder), train="tests.cluster.where:train")
    with connected(address):
        room = room_on_cluster(2, settings.resources(), None)
        settings = PoolSettings(
            workers=2, storage=str(folder), train=settings.train, one_node=room.one_node
        )
        with WorkerPool(settings, DATASET, groups=room.groups, expected=CELLS) as pool:
            tasks = [Task(str(n), CellConfig(train=TrainConfig(seed=n))) for n in range(CELLS)]
            ray.get([pool.dispatcher.submit.remote(task) for task in tasks])
            watches = [pool.dispatcher.watch.remote(task.key, 0, True) for task in tasks]
            found = [sight.outcome.metrics for sight in ray.get(watches)]
    return [(metrics["workers"], metrics["nodes"]) for metrics in found]


def test_a_cell_has_a_node_where_one_is_large_enough(cluster: Any, tmp_path: Path) -> None:
    for cpus in (1, 2, 1):  # on nodes by themselves, two groups would fit
        started(partial(cluster.add_node, num_cpus=cpus))
    assert nodes_of_cells(cluster.address, tmp_path) == [(2, 1)] * CELLS


def test_where_none_is_its_workers_are_on_several(cluster: Any, tmp_path: Path) -> None:
    for _ in range(2):
        started(partial(cluster.add_node, num_cpus=1))
    assert nodes_of_cells(cluster.address, tmp_path) == [(2, 2)] * CELLS
