"""Warm worker groups on a real Ray: what goes wrong in one cell stays in that cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import ray

from raymm.config import CellConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.training.dispatch import Outcome, Task
from raymm.training.pool import PoolSettings, WorkerPool
from tests.training import strange_cells as cells

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

DATASET = Dataset("tiny", np.array(["a", "b", "c"]), (), None, "f")
TRAIN = "tests.training.strange_cells:train"


def task(deed: int, number: int = 0) -> Task:
    return Task(f"{deed}-{number}", CellConfig(train=TrainConfig(seed=10 * number + deed)))


def outcomes(
    folder: Path,
    tasks: Sequence[Task],
    *,
    groups: int = 1,
    workers: int = 1,
    attempts: int = 2,
    train: str = TRAIN,
) -> list[Outcome]:
    """Train the tasks and wait for all."""
    settings = PoolSettings(
        workers=workers, storage=str(folder), max_attempts=attempts, train=train
    )
    with WorkerPool(settings, DATASET, groups=groups, expected=len(tasks)) as pool:
        for each in tasks:  # one after the other: at once, they could come in any order
            ray.get(pool.dispatcher.submit.remote(each))
        return [waited_for(pool, each.key) for each in tasks]


def waited_for(pool: WorkerPool, key: str) -> Outcome:
    seen = 0
    while True:
        sight = ray.get(pool.dispatcher.watch.remote(key, seen, True))
        seen += len(sight.epochs)
        if sight.outcome is not None:
            return cast(Outcome, sight.outcome)


def test_what_goes_wrong_in_a_cell_stays_in_that_cell(tmp_path: Path) -> None:
    deeds = (cells.LOOKS, cells.RAISES, cells.LITTERS, cells.LOOKS, cells.DIES_ONCE)
    tasks = [
        task(deed, number) for number, deed in enumerate((*deeds, cells.ALWAYS_DIES, cells.PLAIN))
    ]
    before, raised, littered, after, died, poisonous, plain = outcomes(tmp_path, tasks)
    assert raised.status == "failed"
    assert raised.reason == "ValueError: the second epoch is cursed"
    assert "strange_cells.py" in raised.details
    assert littered.status == "finished"
    assert after.metrics == before.metrics  # the same process ("pid"), and yet as good as new
    assert died.status == "finished"
    assert died.metrics["resumed_at"] == 1
    assert died.attempts == 2
    assert poisonous.status == "failed"
    assert "ended 2 times while training it" in poisonous.reason
    assert plain.metrics == {"world_size": 1, "samples": 3, "resumed_at": 0}


def test_two_workers_share_a_cell_and_two_groups_the_room_for_one(tmp_path: Path) -> None:
    deeds = (cells.PLAIN, cells.RAISES_ON_RANK_1, cells.RANK_1_DIES_ONCE, cells.PLAIN)
    tasks = [task(deed, number) for number, deed in enumerate(deeds)]
    plain, raised, died, last = outcomes(tmp_path, tasks, groups=2, workers=2)
    assert plain.metrics["world_size"] == 2
    assert raised.status == "failed"
    assert raised.reason == "TrainingError: rank 1 has had enough"
    assert died.status == "finished"
    assert died.metrics["resumed_at"] >= 1
    assert last.metrics == plain.metrics


def test_a_group_that_never_gets_to_a_cell_is_given_up_with_the_reason(tmp_path: Path) -> None:
    nothing = "tests.training.strange_cells:no_such_name"
    (outcome,) = outcomes(tmp_path, [task(cells.PLAIN)], attempts=1, train=nothing)
    assert outcome.status == "failed"
    assert "no worker group could be kept running" in outcome.reason
    assert "no_such_name" in outcome.reason
