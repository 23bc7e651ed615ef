"""The state of a cell under training on one rank: its epochs, its checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raymm.config import CellConfig
from raymm.data.batch import Batch
from raymm.data.loader import on_device, ordered_batches, steps_per_epoch, train_batches
from raymm.data.prepare import PreparedData
from raymm.data.prepared import Split
from raymm.errors import TrainingError
from raymm.losses.gather import world_size
from raymm.training.checkpoint import Checkpoint, CheckpointStore
from raymm.training.learner import Learner, data_parallel
from raymm.training.microbatch import backward_in_parts
from raymm.training.optimizer import (
    learning_rate,
    load_optimizer,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)
from raymm.training.pulse import Pulse
from raymm.training.resources import Usage


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


class Training:
    """A cell under training on this rank.

    Args:
        micro_batches: parts that a step's share of this rank is cut into, to need less memory.
        pulse: hears of every step.
    """

    def __init__(
        self,
        cell: CellConfig,
        prepared: PreparedData,
        store: CheckpointStore,
        device: torch.device,
        *,
        micro_batches: int = 1,
        pulse: Pulse | None = None,
    ) -> None:
        self.cell, self.prepared, self.store, self.device = cell, prepared, store, device
        self.micro_batches, self.pulse = micro_batches, pulse or Pulse()
        self.ranks = world_size()
        self.rank = dist.get_rank() if self.ranks > 1 else 0
        torch.manual_seed(cell.train.seed)
        self.learner = Learner(prepared, cell).to(device)
        self.optimizer = make_optimizer(self.learner, cell.train)
        self.best = self._weights()
        self.progress = Progress()
        self.steps = steps_per_epoch(prepared.train, cell.train.batch_size)
        self.usage = Usage(device)

    def resume(self) -> None:
        """Take up the newest whole checkpoint, if there is one; then wrap for data parallelism."""
        found = self.store.newest()
        if found is not None:
            self.learner.load_state_dict(dict(found.groups["weights"]))
            load_optimizer(self.optimizer, self.learner, found.groups["optimizer"])
            self.best = {name: t.to(self.device) for name, t in found.groups["best"].items()}
            self.progress = Progress(**found.state)
        self.parallel: nn.Module = self.learner
        if self.ranks > 1 and self.micro_batches == 1:  # in parts, gradients are averaged there
            self.parallel = data_parallel(self.learner, self.device)

    def run_epoch(self) -> EpochReport:
        """One epoch of training, then the validation loss."""
        progress, started = self.progress, time.perf_counter()
        progress.epoch += 1
        with self.pulse.steps():
            train_loss, rate = self._train()
            trained = time.perf_counter() - started
            progress.train_s += trained
            validation_loss = self._of_first_rank(self._validation_loss())
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
            "throughput/samples_per_s": self.samples_per_epoch / trained,
            **self.usage.since(),
        }
        progress.curve.append({"epoch": float(progress.epoch), **metrics})
        return EpochReport(progress.epoch, metrics)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the validation loss has not fallen for `patience` epochs."""
        progress, config = self.progress, self.cell.train
        waited = progress.epoch - progress.best_epoch
        return progress.epoch >= config.epochs or 0 < config.patience <= waited

    def _of_first_rank(self, value: float) -> float:
        """Rank 0's value: what decides the best epoch and the last one is the same on all ranks."""
        if self.ranks == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    @property
    def samples_per_epoch(self) -> int:
        """Samples that an epoch's steps see, over all ranks."""
        return self.steps * min(self.cell.train.batch_size, self.prepared.train.size)

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

    def _train(self) -> tuple[float, float]:
        """All steps of an epoch: mean loss and the last learning rate."""
        config, epoch = self.cell.train, self.progress.epoch
        losses: list[Tensor] = []
        rate = 0.0
        batches = train_batches(
            self.prepared.train,
            batch_size=config.batch_size,
            seed=config.seed,
            epoch=epoch,
            rank=self.rank,
            world_size=self.ranks,
        )
        total = self.steps * config.epochs
        with closing(self._on_device(batches, self.prepared.train)) as ready:
            for number, batch in enumerate(ready):
                rate = learning_rate(config, self.steps * (epoch - 1) + number, total)
                set_learning_rate(self.optimizer, rate)
                losses.append(self._gradient(batch))
                if config.clip_norm > 0:
                    nn.utils.clip_grad_norm_(self.learner.parameters(), config.clip_norm)
                self.optimizer.step()
                self.learner.loss.clamp()
                self.pulse.tick()
        # Read once an epoch: reading each step's loss would make the device wait for the host.
        values = torch.stack(losses)
        if not bool(torch.isfinite(values).all()):
            step = int((~torch.isfinite(values)).nonzero()[0, 0]) + 1
            raise TrainingError(
                f"The loss is {float(values[step - 1])} at step {step} of epoch {epoch}. Lower "
                f"--learning-rate (now {config.learning_rate:g}), raise --warmup-steps, or train "
                "with --precision fp32."
            )
        return float(values.mean()), rate

    def _gradient(self, batch: Batch) -> Tensor:
        """Leave the gradient of the global batch's loss in the parameters; the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.micro_batches > 1:
            return backward_in_parts(self.learner, batch, self.micro_batches)
        loss: Tensor = self.parallel(batch)
        torch.autograd.backward(loss)
        return loss.detach()

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean over the validation split of the loss of its batches, in fixed order."""
        split, size = self.prepared.validation, self.cell.train.batch_size
        ordered = ordered_batches(split, batch_size=size, rank=self.rank, world_size=self.ranks)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with closing(self._on_device((batch for _, batch in ordered), split)) as ready:
            for number, batch in enumerate(ready):
                weight = min(size, split.size - number * size)
                total += self.learner(batch).double() * weight
                self.pulse.tick()
        return float(total) / split.size

    def _on_device(self, batches: Iterator[Batch], split: Split) -> Generator[Batch, None, None]:
        return on_device(batches, self.device, ahead=self.device.type == "cuda" or split.is_on_disk)

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.learner.state_dict().items()}
