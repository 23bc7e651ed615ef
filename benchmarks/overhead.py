"""What a cell costs beyond its training, on a local Ray.

    python -m benchmarks.overhead

A sweep of small cells, and another with more of the same, one cell at a time: the difference of their
times, over the difference of their cells, is what one more cell costs with all that belongs to a sweep
(its trial, its MLflow run, its place in the report). What `train_cell` itself takes, called as a
function in a process that is warm, is taken off: that is the training, with its checkpoint and its
evaluation.

Of what is left, the pool's share stands by itself: cells that train nothing, from the dispatcher through
the worker loop and the ranks' agreement and back. Beside it are a Ray Train job for each cell, which
does as little, and the time from `ray.init` until the end of a first step (median of several starts).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from rich.console import Console

from raymm.command import train_grid
from raymm.config import CellConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.loader import train_batches
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.sweep.grid import GridSettings
from raymm.sweep.plan import prepare_sweep
from raymm.training.checkpoint import CheckpointStore
from raymm.training.cluster import connected
from raymm.training.dispatch import Task
from raymm.training.loop import train_cell
from raymm.training.pool import PoolSettings, WorkerPool
from raymm.training.state import EpochReport, Training

CELLS = 40
JOBS = 2
STARTS = 3
FEW, MANY = 4, 24
SMALL: dict[str, Any] = {
    "models": ("mca",),
    "sparsities": (0.4,),
    "epochs": 1,
    "width": 16,
    "fusion_tokens": 4,
    "log_models": "none",
}
FIRST_STEP_S = 10
CPU = torch.device("cpu")


def train_nothing(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    **_: object,
) -> dict[str, float]:
    """Report one epoch and finish."""
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        on_epoch(EpochReport(1, {"loss/train": 0.0}))
    return {"workers": 1.0}


def end_after_a_step(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    **_: object,
) -> dict[str, float]:
    """Build a model, make one step, and say when that was done."""
    prepared = prepare(dataset, cell.data)
    training = Training(cell, prepared, CheckpointStore(storage), device)
    training.resume()
    batches = train_batches(
        prepared.train,
        batch_size=cell.train.batch_size,
        seed=0,
        epoch=1,
        rank=training.rank,
        world_size=training.ranks,
    )
    training._gradient(next(iter(batches)))
    training.optimizer.step()
    done = time.time()
    if training.rank == 0:
        on_epoch(EpochReport(1, {"loss/train": 0.0}))
    return {"done": done}


def through_pool(
    workers: int, dataset: Dataset, train: str, cells: Sequence[CellConfig]
) -> tuple[float, list[float], list[dict[str, float]]]:
    """Seconds since 1970 before `ray.init` and at the end of each cell, and the cells' metrics."""
    started = time.time()
    with connected(None, num_cpus=2), tempfile.TemporaryDirectory() as folder:
        settings = PoolSettings(workers=workers, storage=folder, train=train)
        with WorkerPool(settings, dataset, groups=1, expected=len(cells)) as pool:
            ends, metrics = [], []
            for number, cell in enumerate(cells):
                task = Task(f"cell-{number}", cell)
                ray.get(pool.dispatcher.submit.remote(task))
                outcome = None
                while outcome is None:
                    sight = ray.get(pool.dispatcher.watch.remote(task.key, 1, True))
                    outcome = sight.outcome
                ends.append(time.time())
                metrics.append(dict(outcome.metrics))
    return started, ends, metrics


def pool_s(workers: int) -> float:
    """Median seconds of a cell that trains nothing, in a warm group."""
    empty = Dataset("empty", np.array(["a"]), (), None, "none")
    cells = [CellConfig(train=TrainConfig(seed=n)) for n in range(CELLS)]
    _, ends, _ = through_pool(workers, empty, "benchmarks.overhead:train_nothing", cells)
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(ends))


def first_step_s(workers: int) -> float:
    """Median seconds from `ray.init` to the end of a first step, over several starts."""
    settings = GridSettings(**SMALL, workers_per_cell=workers)
    dataset = load_dataset(settings.dataset)
    cell = next(settings.configs(dataset))
    seconds = []
    for _ in range(STARTS):
        train = "benchmarks.overhead:end_after_a_step"
        started, _, metrics = through_pool(workers, dataset, train, [cell])
        seconds.append(metrics[0]["done"] - started)
    return statistics.median(seconds)


def sweep_s(workers: int, cells: int) -> float:
    """Seconds of a whole sweep, from its plan to the end of its report."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        settings = GridSettings(
            **SMALL, seeds=tuple(range(cells)), workers_per_cell=workers, max_concurrent=1
        )
        with open(os.devnull, "w") as nowhere:
            start = time.perf_counter()
            sweep = prepare_sweep(settings)
            status, _ = train_grid(sweep, "", Console(file=nowhere))
            seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"A sweep of {cells} cells ended with status {status}.")
    return seconds


def _train_alone(rank: int, workers: int, folder: str, out: str) -> None:
    """Train the sweep's cells one after the other in this process; the median goes to a file."""
    torch.set_num_threads(1)
    if workers > 1:
        address = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=workers)
    settings = GridSettings(**SMALL, seeds=tuple(range(9)), workers_per_cell=workers)
    dataset, seconds = load_dataset(settings.dataset), []
    for number, cell in enumerate(settings.configs(dataset)):
        start = time.perf_counter()
        storage = f"{folder}/{number}"
        train_cell(cell, dataset, storage=storage, device=CPU, on_epoch=lambda report: True)
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        Path(out).write_text(json.dumps(statistics.median(seconds[1:])))


def training_s(workers: int) -> float:
    """Median seconds of the sweep's cell as a function, on as many ranks."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/median"
        mp.spawn(_train_alone, args=(workers, folder, out), nprocs=workers)  # type: ignore[no-untyped-call]
        return float(json.loads(Path(out).read_text()))


def measure(workers: int) -> dict[str, object]:
    """All figures for cells of as many workers."""
    more = (sweep_s(workers, MANY) - sweep_s(workers, FEW)) / (MANY - FEW)
    training, goal, first = training_s(workers), 1 if workers == 1 else 2, first_step_s(workers)
    return {
        "workers of a cell": workers,
        "one more cell of a sweep, s": more,
        "its training, s": training,
        "beyond its training, s": more - training,
        "goal, s": f"{goal}: {'met' if more - training <= goal else '**not met**'}",
        "of that the worker pool, s": pool_s(workers),
        "ray.init to the end of a first step, s": first,
        "goal of that, s": f"{FIRST_STEP_S}: {'met' if first <= FIRST_STEP_S else '**not met**'}",
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
    rows = []
    for workers in (1, 2):
        rows.append(measure(workers))
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
