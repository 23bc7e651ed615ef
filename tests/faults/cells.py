"""Real trainings to which something happens. Named by import path, run in workers.

What is to happen to a cell, at the end of which epoch, is written in a file beside the cells' folders;
a second file, put there when it has happened, keeps it from happening again.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from raymm.config import CellConfig, DataConfig, LossConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.training.loop import train_cell
from raymm.training.pulse import Pulse
from raymm.training.sizes import OF_THE_MACHINE
from raymm.training.state import EpochReport, Training

DEEDS = "deeds.json"
HOARD_GIB = 7
"""What a cell that hoards takes at most, where nobody stops it."""


def digits() -> Dataset:
    return load_dataset("digits", modalities=("zer", "mor"))


def cell(seed: int = 0, epochs: int = 4, **train: Any) -> CellConfig:
    """A cell that trains in a second."""
    return CellConfig(
        data=DataConfig(sparsity=0.4),
        model=ModelConfig(name="mca", width=8, depth=1, heads=1, head_size=8),
        loss=LossConfig(),
        train=TrainConfig(epochs=epochs, batch_size=64, warmup_steps=5, seed=seed, **train),
    )


def calm(config: CellConfig, folder: Path, dataset: Dataset) -> dict[str, float]:
    """The metrics of an undisturbed training."""
    torch.set_num_threads(1)
    metrics = train_cell(
        config, dataset, storage=str(folder), device=torch.device("cpu"), on_epoch=lambda _: True
    )
    return without_times(metrics)


def without_times(metrics: Any) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith(OF_THE_MACHINE)}


def train(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    pulse: Pulse,
    micro_batches: int = 1,
    **options: Any,
) -> dict[str, float]:
    """`train_cell`, with what the cell's deed says: {"what", "rank", "epoch", "always"}."""
    folder = Path(storage)
    deeds = json.loads((folder.parent / DEEDS).read_text())
    deed = deeds.get(folder.name, {"what": ""})
    mark = folder.parent / f"{folder.name}.done"
    due = deed["what"] and (deed.get("always") or not mark.exists())
    rank = dist.get_rank() if dist.is_initialized() else 0
    original = Training.run_epoch

    def run_epoch(training: Training) -> EpochReport:
        report = original(training)
        here = rank == deed.get("rank", 0) and report.epoch == deed.get("epoch", 2)
        if due and here:
            mark.touch()
            happen(deed["what"], pulse, micro_batches)
        return report

    Training.run_epoch = run_epoch  # type: ignore[method-assign]
    try:
        return train_cell(
            cell,
            dataset,
            storage=storage,
            device=device,
            on_epoch=on_epoch,
            pulse=pulse,
            micro_batches=micro_batches,
            **options,
        )
    finally:
        Training.run_epoch = original  # type: ignore[method-assign]


def happen(what: str, pulse: Pulse, micro_batches: int) -> None:
    """Do it to this process."""
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "deadlocked":
        with pulse.steps():
            pulse.tick()
            while True:  # as a collective without an answer: no step ends
                signal.pause()
    elif what == "memory" and micro_batches == 1:
        torch.empty(2**50, dtype=torch.uint8)  # a pebibyte
    elif what == "memory always":
        torch.empty(2**50, dtype=torch.uint8)
    elif what == "numpy memory" and micro_batches == 1:
        np.empty(2**50, dtype=np.uint8)
    elif what == "hoard" and micro_batches == 1:
        hoard = []
        for _ in range(HOARD_GIB * 10):
            hoard.append(torch.ones(2**30 // 10, dtype=torch.uint8))
            time.sleep(0.1)
        raise AssertionError("nobody stopped it")
    elif what == "slow":
        end = time.monotonic() + 6
        while time.monotonic() < end:  # work outside the steps, as a probe's fit is
            torch.randn(200, 200) @ torch.randn(200, 200)
