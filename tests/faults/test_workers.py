"""What happens to worker processes leaves no trace in the numbers of their cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import ray

from raymm.config import CellConfig
from raymm.training.dispatch import Outcome, Task
from raymm.training.pool import PoolSettings, WorkerPool
from raymm.training.watchdog import WatchSettings
from tests.faults import cells

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

WATCH = WatchSettings(floor_s=4.0, factor=10.0, beat_s=0.5)
Deed = Mapping[str, Any]


def outcomes(
    folder: Path, deeds: Mapping[str, Deed], configs: Mapping[str, CellConfig], workers: int
) -> dict[str, tuple[Outcome, list[int]]]:
    """Train a cell for each deed; outcomes, and the epochs that were told, by the deed's name."""
    (folder / cells.DEEDS).write_text(json.dumps(deeds))
    settings = PoolSettings(
        workers=workers,
        storage=str(folder),
        checkpoint_s=0,
        watch=WATCH,
        train="tests.faults.cells:train",
    )
    groups = 2 // workers
    with WorkerPool(settings, cells.digits(), groups=groups, expected=len(deeds)) as pool:
        for name in deeds:
            ray.get(pool.dispatcher.submit.remote(Task(name, configs[name])))
        return {name: heard(pool, name) for name in deeds}


def heard(pool: WorkerPool, key: str) -> tuple[Outcome, list[int]]:
    epochs: list[int] = []
    while True:
        sight = ray.get(pool.dispatcher.watch.remote(key, len(epochs), True))
        epochs += [int(epoch["epoch"]) for epoch in sight.epochs]
        if sight.outcome is not None:
            return cast(Outcome, sight.outcome), epochs


def test_one_worker_killed_stopped_deadlocked_slow_and_without_memory(tmp_path: Path) -> None:
    deeds = {
        "killed": {"what": "killed", "epoch": 2},
        "stopped": {"what": "stopped", "epoch": 3},  # often before its first sign of life
        "deadlocked": {"what": "deadlocked", "epoch": 1},
        "slow": {"what": "slow", "epoch": 2},
        "memory": {"what": "memory", "epoch": 2},
        "numpy": {"what": "numpy memory", "epoch": 1},
        "no memory": {"what": "memory always", "epoch": 2, "always": True},
        "not finite": {"what": ""},
    }
    configs = {name: cells.cell(seed) for seed, name in enumerate(deeds)}
    configs["not finite"] = cells.cell(0, learning_rate=1e30)
    found = outcomes(tmp_path, deeds, configs, workers=1)

    well = ("killed", "stopped", "deadlocked", "slow", "memory", "numpy")
    for name in well:
        outcome, epochs = found[name]
        assert outcome.status == "finished", (name, outcome)
        wanted = cells.calm(configs[name], tmp_path / "calm" / name, cells.digits())
        close = 1e-6 if outcome.micro_batches == 1 else 1e-4  # other sums of the same terms
        got = cells.without_times(outcome.metrics)
        exact = {key: value for key, value in wanted.items() if key.startswith("loss/")}
        assert {key: got[key] for key in exact} == pytest.approx(exact, abs=close), name
        if outcome.micro_batches == 1:
            assert got == pytest.approx(wanted, abs=1e-6), name
        assert epochs == [1, 2, 3, 4], name
    attempts = {name: found[name][0].attempts for name in well}
    assert attempts == {
        "killed": 2, "stopped": 2, "deadlocked": 2, "slow": 1, "memory": 2, "numpy": 2,
    }  # fmt: skip
    parts = {name: found[name][0].micro_batches for name in well}
    assert parts == {
        "killed": 1, "stopped": 1, "deadlocked": 1, "slow": 1, "memory": 8, "numpy": 8,
    }  # fmt: skip
    assert found["no memory"][0].reason.startswith(
        "out of memory, also with each step in 8 parts: RuntimeError:"
    )
    assert "can't allocate memory" in found["no memory"][0].reason
    assert "at step" in found["not finite"][0].reason


def test_of_two_workers_one_is_stopped_or_without_memory(tmp_path: Path) -> None:
    deeds = {
        "stopped": {"what": "stopped", "rank": 1, "epoch": 2},
        "memory": {"what": "memory", "rank": 1, "epoch": 2},
        "not finite": {"what": ""},
    }
    configs = {name: cells.cell(0) for name in deeds}
    configs["not finite"] = cells.cell(0, learning_rate=1e30)
    found = outcomes(tmp_path, deeds, configs, workers=2)
    wanted = cells.calm(cells.cell(0), tmp_path / "calm", cells.digits())
    for name in ("stopped", "memory"):
        outcome, epochs = found[name]
        assert outcome.status == "finished", (name, outcome)
        assert outcome.metrics["loss/val"] == pytest.approx(wanted["loss/val"], rel=1e-4), name
        assert epochs == [1, 2, 3, 4]
    assert found["memory"][0].micro_batches == 8
    assert "at step" in found["not finite"][0].reason
