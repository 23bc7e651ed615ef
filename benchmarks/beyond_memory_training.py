"""Training on a set larger than memory allows: `python -m benchmarks.beyond_memory_training`.

Makes packed sets of CMU-MOSEI's shape, a small one and one of 20 GB, in a temporary folder that is
removed in the end, and trains some steps on each with two data-parallel workers of one machine. What
a worker holds for itself (anonymous memory, model and optimizer included) must not grow with the
set; the file pages it maps are clean, so the system shares them and takes them back.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.beyond_memory import Peak, make
from raymm.config import CellConfig, DataConfig, ModelConfig
from raymm.data.loader import prefetched, train_batches
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.training.learner import Learner, data_parallel
from raymm.training.optimizer import make_optimizer

WORKERS = 2
GOAL_GIB = 2.0
CELL = CellConfig(data=DataConfig(sparsity=0.2), model=ModelConfig(width=16, depth=1))


def train(rank: int, port: int, folder: str, batch_size: int, steps: int) -> dict[str, float]:
    """One worker: open, prepare and train; what it needed of memory and time."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORKERS)
    with Peak() as peak:
        dataset = load_dataset(folder)
        started = time.perf_counter()
        prepared = prepare(dataset, CELL.data)
        prepare_s = time.perf_counter() - started
        learner = Learner(prepared, CELL)
        module = data_parallel(learner, torch.device("cpu"))
        optimizer = make_optimizer(learner, CELL.train)
        batches = train_batches(
            prepared.train, batch_size=batch_size, seed=0, epoch=0, rank=rank, world_size=WORKERS
        )
        started, taken = time.perf_counter(), 0
        for batch in prefetched(batches):
            optimizer.zero_grad()
            module(batch).backward()
            optimizer.step()
            taken += 1
            if taken == steps:
                break
        train_s = time.perf_counter() - started
        private, shared = _mapped_mib(folder)
    dist.destroy_process_group()
    model = sum(each.numel() for each in learner.parameters()) * 4 * 4 / 2**20
    return {
        "anonymous_mib": peak.anonymous,
        "resident_mib": peak.resident,
        "model_mib": model,
        "mapped_private_mib": private,
        "mapped_shared_mib": shared,
        "prepare_s": prepare_s,
        "step_s": train_s / taken,
        "samples": float(len(dataset.ids)),
    }


def _mapped_mib(folder: str) -> tuple[float, float]:
    """Pages of the set's files that this process maps: written by it, and shared or shareable."""
    private = shared = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            inside = folder in line
        elif inside and line.startswith("Private_Dirty:"):
            private += int(line.split()[1])
        elif inside and line.startswith(("Shared_Clean:", "Private_Clean:")):
            shared += int(line.split()[1])
    return private / 1024, shared / 1024


def measure(folder: Path, batch_size: int, steps: int) -> dict[str, Any]:
    """Train on a set with all workers; the largest figure of any."""
    size = sum(path.stat().st_size for path in folder.rglob("*.arrow"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tasks = [(rank, port, str(folder), batch_size, steps) for rank in range(WORKERS)]
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        found = pool.starmap(train, tasks, chunksize=1)
    largest = {key: max(each[key] for each in found) for key in found[0]}
    return {"gb": size / 1e9, "workers": WORKERS, "steps": steps, **largest}


COLUMNS = {
    "gb": "GB",
    "samples": "samples",
    "anonymous_mib": "anonymous MiB",
    "resident_mib": "with file pages MiB",
    "mapped_private_mib": "of them written MiB",
    "model_mib": "model MiB",
    "prepare_s": "prepare s",
    "step_s": "step s",
}


def main(
    sizes_gb: tuple[float, ...] = (0.5, 20),
    batch_size: int = 8,
    steps: int = 40,
    folder: Path | None = None,
    existing: tuple[Path, ...] = (),
    out: Path | None = None,
) -> None:
    """Measure sets of several sizes.

    Args:
        sizes_gb: of the sets.
        batch_size: samples of a global batch.
        steps: to train on each.
        folder: where the sets are made and removed again; the system's temporary one if not given.
            It needs the size of the set and of its largest modality (0.7 of it) once more.
        existing: packed sets that are measured instead, and kept.
        out: JSON file for the figures.
    """
    table = Table(*COLUMNS.values(), title=f"Training with {WORKERS} workers, the larger of them")
    rows = []
    for path in existing:
        rows.append(measure(path.resolve(), batch_size, steps))
    for size in () if existing else sizes_gb:
        with tempfile.TemporaryDirectory(prefix="raymm-beyond-", dir=folder) as scratch:
            made = Path(scratch).resolve() / "set"
            make(made, size)
            rows.append(measure(made, batch_size, steps))
    for row in rows:
        table.add_row(*(f"{row[key]:,.4g}" for key in COLUMNS))
    Console().print(table)
    worst = max(row["resident_mib"] - row["model_mib"] for row in rows) / 1024
    met = "met" if worst < GOAL_GIB else "NOT met"
    print(f"Most above the model: {worst:.2f} GiB a worker (goal: under {GOAL_GIB:g}), {met}.")
    if out:
        out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    tyro.cli(main)
