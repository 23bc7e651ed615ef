"""What a process of a warm worker group does: take cell after cell until there are no more."""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import ray
import torch

from raymm.data.dataset import Dataset
from raymm.errors import RaymmError, StorageError
from raymm.training.checkpoint import CheckpointStore
from raymm.training.dispatch import Handle, Task
from raymm.training.heart import Heart
from raymm.training.memory import is_out_of_memory
from raymm.training.pulse import Pulse
from raymm.training.state import EpochReport
from raymm.training.watchdog import WatchSettings

TrainFunction = Callable[..., dict[str, float]]
TRACEBACK_CHARS = 4000


@dataclass(frozen=True)
class Seat:
    """A process's place in its group.

    Attributes:
        incarnation: the same for all processes of a group that started together.
    """

    group: int
    incarnation: str
    rank: int
    world_size: int
    device: torch.device


def resolve(path: str) -> TrainFunction:
    """The function that "package.module:name" names."""
    module, _, name = path.partition(":")
    found: TrainFunction = getattr(importlib.import_module(module), name)
    return found


def serve(
    seat: Seat,
    dispatcher: Handle,
    dataset: Dataset,
    storage: str,
    train: TrainFunction,
    watch: WatchSettings,
) -> None:
    """Train what the dispatcher deals until it sends the group home.

    Args:
        dispatcher: handle of the `Dispatcher` actor.
        dataset: the same for all cells; its arrays lie read-only in the node's object store.
        storage: root of the cells' folders.
        watch: how often to give a sign of life, and when a training hangs.

    Raises:
        Exception: whatever ended a cell, where this process cannot go on after it: other ranks may
            be waiting for this one in a collective, or the device may be in an unknown state. Ray
            Train then starts the group anew.
    """
    baseline = ProcessState.capture()
    with Heart(dispatcher, seat.incarnation, seat.rank, watch) as heart:
        for number in itertools.count():
            baseline.restore()
            task = ray.get(dispatcher.next_task.remote(seat.group, seat.incarnation, number))
            if task is None:
                return
            pulse = heart.works_on(task.key)
            _train(seat, dispatcher, dataset, f"{storage}/{task.key}", train, task, pulse)
            heart.rests()


def _train(
    seat: Seat,
    dispatcher: Handle,
    dataset: Dataset,
    storage: str,
    train: TrainFunction,
    task: Task,
    pulse: Pulse,
) -> None:
    def on_epoch(report: EpochReport) -> bool:
        epoch = {"epoch": float(report.epoch), **report.metrics}
        return bool(ray.get(dispatcher.report.remote(task.key, seat.incarnation, epoch)))

    try:
        metrics = {}
        if not task.discard:
            metrics = train(
                task.cell,
                dataset,
                storage=storage,
                device=seat.device,
                on_epoch=on_epoch,
                score=task.score,
                micro_batches=task.micro_batches,
                pulse=pulse,
            )
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        details = traceback.format_exc()[-TRACEBACK_CHARS:]
        goes_on = seat.world_size == 1 and seat.device.type == "cpu"
        said = (reason, details, kind_of(error, seat), goes_on)
        ray.get(dispatcher.fail.remote(task.key, seat.incarnation, *said))
        if not goes_on:
            raise
    else:
        if seat.rank == 0:
            if not metrics and ray.get(dispatcher.discards.remote(task.key, seat.incarnation)):
                CheckpointStore(storage).discard()
            ray.get(dispatcher.finish.remote(task.key, seat.incarnation, metrics))


def kind_of(error: Exception, seat: Seat) -> Literal["final", "again", "memory"]:
    """Whether the cell can be trained again, and how.

    With several ranks a RuntimeError may only say that a peer's process has gone (that is what a
    collective then raises), and the cell deserves another attempt. So does one whose storage or data
    could not be reached: connections and object stores come back.
    """
    if is_out_of_memory(error):
        return "memory"
    if isinstance(error, OSError | StorageError):
        return "again"
    alone = seat.world_size == 1 or type(error) is not RuntimeError
    return "final" if isinstance(error, RaymmError) or alone else "again"


@dataclass(frozen=True)
class ProcessState:
    """What one cell could leave behind in the process for the next one to stumble over."""

    environment: dict[str, str]
    folder: str
    import_path: tuple[str, ...]
    threads: int
    dtype: torch.dtype
    matmul_precision: str
    deterministic: bool
    warn_only: bool

    @classmethod
    def capture(cls) -> ProcessState:
        """The state of this process now; what is loaded now is not looked at for garbage again."""
        gc.collect()
        gc.freeze()
        return cls(
            environment=dict(os.environ),
            folder=os.getcwd(),
            import_path=tuple(sys.path),
            threads=torch.get_num_threads(),
            dtype=torch.get_default_dtype(),
            matmul_precision=torch.get_float32_matmul_precision(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
            warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    def restore(self) -> None:
        """Put it back, with random generators as in no cell's use and memory given back."""
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        os.environ.update(self.environment)
        os.chdir(self.folder)
        sys.path[:] = self.import_path
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.set_default_device(None)
        torch.set_float32_matmul_precision(self.matmul_precision)
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warn_only)
        torch.set_grad_enabled(True)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - the global generator is what libraries use
        torch.manual_seed(0)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
