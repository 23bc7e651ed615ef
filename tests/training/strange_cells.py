"""Train functions that misbehave, for the tests of the pool. Named by import path, run in workers.

What a cell is to do is written in its seed; what must outlive a worker's death is in its folder.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from raymm.config import CellConfig
from raymm.data.dataset import Dataset
from raymm.errors import TrainingError
from raymm.training.state import EpochReport

PLAIN, RAISES, RAISES_ON_RANK_1, DIES_ONCE, ALWAYS_DIES, RANK_1_DIES_ONCE, LITTERS, LOOKS = range(8)
EPOCHS = 3


def train(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    **_: object,
) -> dict[str, float]:
    """Count epochs, kept in the cell's folder as a checkpoint would be; misbehave as asked."""
    deed = cell.train.seed % 10
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if world > 1 else 0
    folder = Path(storage)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "epochs_done"
    first = int(done.read_text()) if done.exists() else 0
    if deed == LOOKS:
        return _looked()
    for epoch in range(first + 1, EPOCHS + 1):
        total = torch.ones(1)
        if world > 1:
            dist.all_reduce(total)
        if epoch == 2:
            _misbehave(deed, rank, resumed=first > 0)
        if rank == 0:
            done.write_text(str(epoch))
            on_epoch(EpochReport(epoch, {"loss/train": 1 / epoch}))
    if deed == LITTERS:
        _litter()
    return {
        "world_size": float(total),
        "samples": float(len(dataset.ids)),
        "resumed_at": float(first),
    }


def _misbehave(deed: int, rank: int, resumed: bool) -> None:
    if deed == RAISES:
        raise ValueError("the second epoch is cursed")
    if deed == RAISES_ON_RANK_1 and rank == 1:
        raise TrainingError("rank 1 has had enough")
    if deed == ALWAYS_DIES or (deed == DIES_ONCE and not resumed):
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == RANK_1_DIES_ONCE and rank == 1 and not resumed:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)


def _litter() -> None:
    """Leave behind what a cell could leave behind by accident."""
    os.environ["LITTER"] = "1"
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(3)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    sys.path.insert(0, "/litter")
    os.chdir("/")


def _looked() -> dict[str, float]:
    """What a cell could see of the one before it."""
    return {
        "environment": float("LITTER" in os.environ),
        "float32": float(torch.get_default_dtype() == torch.float32),
        "grad": float(torch.is_grad_enabled()),
        "deterministic": float(torch.are_deterministic_algorithms_enabled()),
        "threads": float(torch.get_num_threads()),
        "at_root": float(os.getcwd() == "/"),
        "on_cpu": float(torch.get_default_device().type == "cpu"),
        "exact_products": float(torch.get_float32_matmul_precision() == "highest"),
        "import_path": float("/litter" in sys.path),
        "torch_random": float(torch.rand(())),
        "numpy_random": float(np.random.rand()),  # noqa: NPY002 - what libraries use
        "python_random": random.random(),
        "pid": float(os.getpid()),
    }
