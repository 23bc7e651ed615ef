"""Training of one cell. Knows nothing of Ray: a process group, if there is one, is all it needs.

Every rank calls `train_cell`. The global batch of a step is shared out over the ranks; the loss and its
gradient are those of the global batch, so the number of ranks does not change the mathematics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist

from raymm.config import CellConfig
from raymm.data.dataset import Dataset
from raymm.data.prepare import prepare
from raymm.losses.gather import world_size
from raymm.training.checkpoint import CheckpointStore
from raymm.training.finish import finish, score_again, told
from raymm.training.pulse import Pulse
from raymm.training.resources import keep_freed_memory, reset_peak_memory
from raymm.training.state import EpochReport, Training
from raymm.training.task import Score

CHECKPOINT_INTERVAL_S = 30.0
"""Least time between two checkpoints: what a killed worker may lose."""


def train_cell(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    score: Score = "test",
    micro_batches: int = 1,
    pulse: Pulse | None = None,
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
) -> dict[str, float]:
    """Train a cell, or go on with it from its newest checkpoint, and score it.

    Args:
        storage: the cell's own folder, the same for all ranks: a path or an fsspec address.
        on_epoch: called on rank 0 after each epoch; False stops the training.
        score: the split whose metrics are asked for. With "validation" they are called
            "val/<name>" and the test split is not touched.
        micro_batches: parts that each rank's share of a step is cut into, to need less memory. The
            gradient stays that of the whole step.
        pulse: hears of each step, for a watchdog.
        checkpoint_interval_s: least seconds between two checkpoints.

    A cell that is finished is not trained again: what it left in its storage is reported, or, if
    the split asked for is not scored yet, its weights are scored on that.

    Returns:
        On rank 0 the final metrics under their stable names; elsewhere, and where the training was
        stopped, an empty dict.

    Raises:
        ConfigError: the settings do not fit the data or the number of ranks.
        DataError: a split has nothing to train on or to score.
        TrainingError: the loss is no longer finite.
    """
    keep_freed_memory()
    reset_peak_memory(device)
    store = CheckpointStore(storage)
    done = store.result()
    if done is not None:
        if _is_first():
            store.tidy()  # who finished it may have been killed right after it had written that
        _tell_epochs(done, on_epoch)
        known = told(done, score)
        if known is None:
            return score_again(cell, prepare(dataset, cell.data), store, device, done, score)
        return known if _is_first() else {}
    pulse = pulse or Pulse()
    prepared = prepare(dataset, cell.data)
    training = Training(cell, prepared, store, device, micro_batches=micro_batches, pulse=pulse)
    training.resume()
    # Whoever heard of these epochs may be gone, with some of them not written down.
    _tell_epochs({"curve": training.progress.curve}, on_epoch)
    last_saved = time.monotonic()
    while not training.is_over:
        report = training.run_epoch()
        late = pulse.hurry or time.monotonic() - last_saved >= checkpoint_interval_s
        saved = late or training.is_over
        if saved:
            training.save()
            last_saved = time.monotonic()
        if not _agreed(not _is_first() or on_epoch(report), device):
            if not saved:
                training.save()  # whoever goes on with it has nothing to train again
            return {}
    return finish(training, dataset, score)


def _tell_epochs(result: Mapping[str, Any], on_epoch: Callable[[EpochReport], bool]) -> None:
    """Report epochs trained before: whoever knows them passes them over."""
    if _is_first():
        for epoch in result["curve"]:
            metrics = {name: value for name, value in epoch.items() if name != "epoch"}
            on_epoch(EpochReport(int(epoch["epoch"]), metrics))


def _is_first() -> bool:
    return world_size() == 1 or dist.get_rank() == 0


def _agreed(go_on: bool, device: torch.device) -> bool:
    """Rank 0's decision, on all ranks."""
    if world_size() == 1:
        return go_on
    decision = torch.tensor([float(go_on)], device=device)
    dist.broadcast(decision, src=0)
    return bool(decision.item() > 0)
