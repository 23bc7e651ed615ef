"""What a cell costs beyond its training, on a local Ray.

    python -m benchmarks.overhead

Cells that train nothing go through the sweep's own worker pool, one after the other through one group,
so that all the time they take is overhead: the dispatcher, the worker loop, the ranks' agreement, the
reports. Beside it stands a Ray Train job of its own for each cell, which does as little, and the time
from `ray.init` until the first cell begins.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from raymm.config import CellConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.training.cluster import connected
from raymm.training.dispatch import Task
from raymm.training.pool import PoolSettings, WorkerPool
from raymm.training.state import EpochReport

CELLS = 40
JOBS = 2


def train_nothing(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    **_: object,
) -> dict[str, float]:
    """Report one epoch and finish, saying when the cell began."""
    began = time.time()
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        on_epoch(EpochReport(1, {"loss/train": 0.0}))
    return {"began": began}


def warm(workers: int) -> dict[str, Any]:
    """Seconds of each cell of a warm group, and until the first cell begins."""
    empty = Dataset("empty", np.array(["a"]), (), None, "none")
    tasks = [Task(f"cell-{n}", CellConfig(train=TrainConfig(seed=n))) for n in range(CELLS)]
    started = time.time()
    with connected(None, num_cpus=2), tempfile.TemporaryDirectory() as folder:
        settings = PoolSettings(
            workers=workers, storage=folder, train="benchmarks.overhead:train_nothing"
        )
        with WorkerPool(settings, empty, groups=1, expected=CELLS) as pool:
            ends, first = [], 0.0
            for task in tasks:
                ray.get(pool.dispatcher.submit.remote(task))
                outcome = None
                while outcome is None:
                    sight = ray.get(pool.dispatcher.watch.remote(task.key, 1, True))
                    outcome = sight.outcome
                ends.append(time.time())
                first = first or float(outcome.metrics["began"])
    each = [later - earlier for earlier, later in itertools.pairwise(ends)]
    return {
        "workers of a cell": workers,
        "a cell of a warm group, s": statistics.median(each),
        "goal, s": 1 if workers == 1 else 2,
        "ray.init to the first cell, s": first - started,
        "a Ray Train job for each cell, s": job_for_each(workers),
    }


def job_for_each(workers: int) -> float:
    """Median seconds of a Ray Train job that reports once, on a Ray that is up."""
    import ray.train
    from ray.train.torch import TorchTrainer

    def work() -> None:
        ray.train.report({"loss": 0.0})

    seconds = []
    with connected(None, num_cpus=2), tempfile.TemporaryDirectory() as folder:
        for number in range(JOBS):
            start = time.time()
            TorchTrainer(
                work,
                scaling_config=ray.train.ScalingConfig(num_workers=workers),
                run_config=ray.train.RunConfig(name=f"job-{number}", storage_path=folder),
            ).fit()
            seconds.append(time.time() - start)
    return statistics.median(seconds)


def main() -> None:
    """Measure groups of one worker and of two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [warm(1), warm(2)]
    for row in rows:
        print(json.dumps(row))
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
