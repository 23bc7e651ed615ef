"""Training of one cell. Knows nothing of Ray: a process group, if there is one, is all it needs.

Every rank calls `train_cell`. The global batch of a step is shared out over the ranks; the loss and its
gradient are those of the global batch, so the number of ranks does not change the mathematics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raymm.config import CellConfig, Precision, to_dict
from raymm.data.batch import Batch
from raymm.data.dataset import Dataset
from raymm.data.loader import ordered_batches, steps_per_epoch, train_batches
from raymm.data.prepare import PreparedData, prepare
from raymm.errors import TrainingError
from raymm.losses.contrastive import ContrastiveLoss
from raymm.losses.gather import world_size
from raymm.models.build import build_model
from raymm.models.embeddings import Embeddings
from raymm.training.checkpoint import Checkpoint, CheckpointStore
from raymm.training.evaluate import embed_split, final_metrics
from raymm.training.optimizer import (
    learning_rate,
    load_optimizer,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)
from raymm.training.resources import keep_freed_memory, peak_memory_gib, reset_peak_memory

CHECKPOINT_INTERVAL_S = 30.0
"""Least time between two checkpoints: what a killed worker may lose."""
EVALUATION_BATCH = 256
"""Samples embedded at a time after training; no gradient is kept, so more fit than in a step."""


@dataclass(frozen=True)
class EpochReport:
    """What rank 0 says after each epoch (1-based)."""

    epoch: int
    metrics: dict[str, float]


@dataclass
class Progress:
    """What a resumed training must know besides its tensors."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    train_s: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


class Learner(nn.Module):
    """Model and loss as one module, so that data-parallel training sees all parameters."""

    def __init__(self, prepared: PreparedData, cell: CellConfig) -> None:
        super().__init__()
        self.model = build_model(prepared.specs, cell.model, cell.loss)
        self.loss = ContrastiveLoss(self.model.pairs, cell.loss)
        self.precision: Precision = cell.train.precision

    def embed(self, batch: Batch) -> Embeddings:
        """Embeddings of this rank's share of a batch."""
        with mixed_precision(batch.device, self.precision):
            embeddings: Embeddings = self.model(batch)
        return embeddings

    def forward(self, batch: Batch) -> Tensor:
        """Loss of the global batch."""
        loss: Tensor = self.loss(self.embed(batch))
        return loss


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def train_cell(
    cell: CellConfig,
    dataset: Dataset,
    *,
    storage: str,
    device: torch.device,
    on_epoch: Callable[[EpochReport], bool],
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
) -> dict[str, float]:
    """Train a cell, or go on with it from its newest checkpoint, and score it.

    Args:
        storage: the cell's own folder, the same for all ranks: a path or an fsspec address.
        on_epoch: called on rank 0 after each epoch; False stops the training.
        checkpoint_interval_s: least seconds between two checkpoints.

    A cell that is finished is not trained again: what it left in its storage is reported.

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
        return _told_again(done, on_epoch)
    prepared = prepare(dataset, cell.data)
    training = _Training(cell, prepared, store, device)
    training.resume()
    last_saved = time.monotonic()
    while training.progress.epoch < cell.train.epochs:
        report = training.run_epoch()
        late = time.monotonic() - last_saved >= checkpoint_interval_s
        if late or training.progress.epoch == cell.train.epochs:
            training.save()
            last_saved = time.monotonic()
        if not _agreed(training.rank != 0 or on_epoch(report), device):
            return {}
    return training.finish()


def _told_again(
    result: Mapping[str, Any], on_epoch: Callable[[EpochReport], bool]
) -> dict[str, float]:
    """Report a finished training as it was: it ended, but nobody was left to write it down."""
    if world_size() > 1 and dist.get_rank() != 0:
        return {}
    for epoch in result["curve"]:
        on_epoch(EpochReport(int(epoch["epoch"]), {k: v for k, v in epoch.items() if k != "epoch"}))
    return dict(result["metrics"])


def _agreed(go_on: bool, device: torch.device) -> bool:
    """Rank 0's decision, on all ranks."""
    if world_size() == 1:
        return go_on
    decision = torch.tensor([float(go_on)], device=device)
    dist.broadcast(decision, src=0)
    return bool(decision.item() > 0)


class _Training:
    """The state of a cell under training on this rank."""

    def __init__(
        self, cell: CellConfig, prepared: PreparedData, store: CheckpointStore, device: torch.device
    ) -> None:
        self.cell, self.prepared, self.store, self.device = cell, prepared, store, device
        self.ranks = world_size()
        self.rank = dist.get_rank() if self.ranks > 1 else 0
        torch.manual_seed(cell.train.seed)
        self.learner = Learner(prepared, cell).to(device)
        self.optimizer = make_optimizer(self.learner, cell.train)
        self.best = self._weights()
        self.progress = Progress()
        self.steps = steps_per_epoch(prepared.train, cell.train.batch_size)

    def resume(self) -> None:
        """Take up the newest whole checkpoint, if there is one; then wrap for data parallelism."""
        found = self.store.newest()
        if found is not None:
            self.learner.load_state_dict(dict(found.groups["weights"]))
            load_optimizer(self.optimizer, self.learner, found.groups["optimizer"])
            self.best = {name: t.to(self.device) for name, t in found.groups["best"].items()}
            self.progress = Progress(**found.state)
        self.parallel: nn.Module = self.learner
        if self.ranks > 1:
            ids = [self.device] if self.device.type == "cuda" else None
            self.parallel = DistributedDataParallel(self.learner, device_ids=ids)

    def run_epoch(self) -> EpochReport:
        """One epoch of training, then the validation loss."""
        progress, started = self.progress, time.perf_counter()
        progress.epoch += 1
        train_loss, samples, rate = self._train()
        trained = time.perf_counter() - started
        progress.train_s += trained
        validation_loss = self._validation_loss()
        if not math.isfinite(validation_loss):
            raise TrainingError(
                f"The validation loss is {validation_loss} after epoch {progress.epoch}. Lower "
                f"--learning-rate (now {self.cell.train.learning_rate:g}), raise --warmup-steps, "
                "or train with --precision fp32."
            )
        if validation_loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = validation_loss, progress.epoch
            self.best = self._weights()
        metrics = {
            "loss/train": train_loss,
            "loss/val": validation_loss,
            "temperature": 1 / float(self.learner.loss.scale().detach()),
            "learning_rate": rate,
            "throughput/samples_per_s": samples / trained,
        }
        progress.curve.append({"epoch": float(progress.epoch), **metrics})
        return EpochReport(progress.epoch, metrics)

    def save(self) -> None:
        """Write a checkpoint (rank 0)."""
        if self.rank == 0:
            groups = {
                "weights": self._weights(),
                "best": self.best,
                "optimizer": optimizer_tensors(self.optimizer, self.learner),
            }
            state = vars(self.progress)
            self.store.save(Checkpoint(self.progress.epoch, groups, state))

    def finish(self) -> dict[str, float]:
        """Score the best epoch's weights on the test split, once, and keep them."""
        progress = self.progress
        self.learner.load_state_dict(self.best)
        embedded = {
            name: embed_split(
                self.learner.model,
                getattr(self.prepared, name),
                batch_size=max(self.cell.train.batch_size, EVALUATION_BATCH),
                rank=self.rank,
                world_size=self.ranks,
            )
            for name in ("train", "validation", "test")
        }
        if self.rank != 0:
            return {}
        metrics = final_metrics(self.prepared, embedded)
        best = progress.curve[progress.best_epoch - 1]
        seen = (
            self.steps
            * min(self.cell.train.batch_size, self.prepared.train.size)
            * len(progress.curve)
        )
        metrics |= {
            "loss/train": best["loss/train"],
            "loss/val": best["loss/val"],
            "epoch/best": float(progress.best_epoch),
            "temperature": best["temperature"],
            "sparsity/realised": self.prepared.sparsity_realised,
            "sparsity/before_dropping": self.prepared.sparsity_masked,
            "time/train_s": progress.train_s,
            "throughput/samples_per_s": seen / max(progress.train_s, 1e-9),
            "memory/peak_gib": peak_memory_gib(self.device),
            "parameters": float(sum(p.numel() for p in self.learner.model.parameters())),
        }
        self.store.finish(
            self.best,
            {"config": to_dict(self.cell), "metrics": metrics, "curve": progress.curve},
        )
        return metrics

    def _train(self) -> tuple[float, int, float]:
        """All steps of an epoch: mean loss, samples seen and the last learning rate."""
        config, epoch = self.cell.train, self.progress.epoch
        losses: list[Tensor] = []
        samples = rate = 0.0
        batches = train_batches(
            self.prepared.train,
            batch_size=config.batch_size,
            seed=config.seed,
            epoch=epoch,
            rank=self.rank,
            world_size=self.ranks,
        )
        total = self.steps * config.epochs
        for number, batch in enumerate(batches):
            rate = learning_rate(config, self.steps * (epoch - 1) + number, total)
            set_learning_rate(self.optimizer, rate)
            loss = self.parallel(batch.to(self.device))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.clip_norm > 0:
                nn.utils.clip_grad_norm_(self.learner.parameters(), config.clip_norm)
            self.optimizer.step()
            self.learner.loss.clamp()
            losses.append(loss.detach())
        samples = self.steps * min(config.batch_size, self.prepared.train.size)
        # Read once an epoch: reading each step's loss would make the device wait for the host.
        values = torch.stack(losses)
        if not bool(torch.isfinite(values).all()):
            step = int((~torch.isfinite(values)).nonzero()[0, 0]) + 1
            raise TrainingError(
                f"The loss is {float(values[step - 1])} at step {step} of epoch {epoch}. Lower "
                f"--learning-rate (now {config.learning_rate:g}), raise --warmup-steps, or train "
                "with --precision fp32."
            )
        return float(values.mean()), int(samples), rate

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean over the validation split of the loss of its batches, in fixed order."""
        split, size, total = self.prepared.validation, self.cell.train.batch_size, 0.0
        batches = ordered_batches(split, batch_size=size, rank=self.rank, world_size=self.ranks)
        for number, (_, batch) in enumerate(batches):
            loss = float(self.learner(batch.to(self.device)))
            weight = min(size, split.size - number * size)
            total += loss * weight
        return total / split.size

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.learner.state_dict().items()}
