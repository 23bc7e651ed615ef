"""Warm worker groups: Ray Train jobs that train cell after cell. The only importer of ray.train.

A Ray Train job costs 10 to 20 s to start, most cells less than that to train. So each group of
workers is one long Ray Train job whose train function asks a `Dispatcher` for cells until there are
no more. Process group, imports, data and CUDA context stay; Ray Train's fault tolerance stays too:
when a worker's process dies, its group is started again, and the cell goes on from its checkpoint.
"""

from __future__ import annotations

import _thread
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import ray
import ray.train
from ray.exceptions import RayActorError
from ray.train.backend import BackendConfig
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2.api.callback import RayTrainCallback, UserCallback
from ray.train.v2.api.config import FailureConfig, LoggingConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymm.data.dataset import Dataset
from raymm.errors import SweepError
from raymm.training.deaths import cause_of, first_line
from raymm.training.dispatch import Dispatcher, Handle
from raymm.training.guard import DISPATCHER_DIED, Guard, remove_other_placements
from raymm.training.placing import check_gpu_share
from raymm.training.scratch import scratch_folder
from raymm.training.watchdog import WatchSettings

if TYPE_CHECKING:
    import torch

UNUSED: Final = {DatasetsCallback}
"""Serves Ray Data, which we do not use: cells share one data set in the object store."""
ONLY_FOR_CLUSTERS: Final = {PlacementGroupCleanerCallback}
"""Frees what a dead controller held, on a cluster that outlives the sweep."""
CONTROLLER_RESTARTS = 5
"""How often a group whose controlling process dies is started again."""
LEAVING_S, BROKEN = 60.0, 2
"""How long a process of no use has after it has left the pool, and its exit status if it does not end:
that of an error of the user's to mend."""
GO_ON = (
    " What is recorded stays, and cells go on from their last checkpoint: give the same command "
    "again once the cluster is there."
)
WAITERS = 10_000
"""Calls that may wait in the dispatcher at once: a few for each worker and each trial."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """The shape of the worker groups.

    Attributes:
        workers: worker processes of a group: the ranks that share a cell's batches.
        cpus: CPUs of a worker; also its threads.
        gpu: kind of GPU each worker gets one of ("A10G"), "any", or None for CPU.
        gpus: GPUs of a worker: 1, or a share below 1, so that several cells use one at a time.
        storage: root of the cells' folders; a path all nodes see, or an fsspec address.
        max_attempts: see `Dispatcher`.
        checkpoint_s: least seconds between two checkpoints of a cell: what it may lose.
        this_machine_only: whether the Ray was started for this sweep and ends with it.
        watch: when a worker that stands still is taken to hang.
        train: "package.module:name" of the function that trains a cell.
    """

    workers: int = 1
    cpus: float = 1
    gpu: str | None = None
    gpus: float = 1.0
    storage: str
    max_attempts: int = 3
    checkpoint_s: float = 30.0
    this_machine_only: bool = False
    watch: WatchSettings = field(default_factory=WatchSettings)
    train: str = "raymm.training.loop:train_cell"

    def __post_init__(self) -> None:
        check_gpu_share(self.gpus, self.workers, self.gpu)

    def resources(self) -> dict[str, float]:
        """Ray resources of one worker."""
        gpu = {} if self.gpu is None else {"GPU": float(self.gpus)}
        return {"CPU": float(self.cpus), **gpu}


class WorkerPool:
    """Worker groups and the dispatcher that feeds them, on the Ray this process is connected to.

    Args:
        dataset: what all cells are trained on; one copy goes to each node.
        groups: groups that train at the same time.
        expected: how many cells will be submitted; groups end when there are no more to come. None
            if it is not known: they end when the pool is left.

    Use as a context manager: leaving it stops the groups.
    """

    def __init__(
        self, settings: PoolSettings, dataset: Dataset, *, groups: int, expected: int | None
    ) -> None:
        self.settings = settings
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {"max_concurrency": WAITERS, "scheduling_strategy": here}
        actor: Any = ray.remote(num_cpus=0)(Dispatcher)
        self.dispatcher: Handle = actor.options(**options).remote(
            groups, expected, settings.max_attempts
        )
        self._dataset = ray.put(dataset)
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_folder("train"))
        self._closing = threading.Event()
        self._guard = Guard(self.dispatcher, settings.watch.beat_s, self._broken)
        self._why_broken = ""
        self._threads = [
            threading.Thread(target=self._host, args=(group,), daemon=True, name=f"group-{group}")
            for group in range(groups)
        ]

    def __enter__(self) -> WorkerPool:
        self._guard.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, timeout_s: float = 30.0) -> None:
        """Send the groups home: after the epoch they are at, or at once when they are idle.

        Args:
            timeout_s: how long to wait for them in all; more than a group takes to start, since one
                that is starting while this process leaves Ray would take the process with it. A
                group in a longer epoch ends when this process leaves Ray.

        Raises:
            SweepError: the pool broke down while it was open.
        """
        self._closing.set()
        self._guard.stop()
        if self._why_broken:
            raise SweepError(self._why_broken + GO_ON)
        try:
            ray.get(self.dispatcher.close.remote())
        except RayActorError as error:
            raise SweepError(DISPATCHER_DIED.format(first_line(error)) + GO_ON) from error
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._stack.close()

    def _broken(self, why: str, patience_s: float) -> None:
        """Nothing can be trained any more: interrupt whoever waits, and say why on leaving.

        Whoever waits may be deep in a call of Ray that has no end without a cluster, until Ray ends
        the process without a word. So after a while the process ends here.
        """
        if self._closing.is_set():
            return
        self._why_broken = why
        _thread.interrupt_main()
        if not self._closing.wait(patience_s):
            os.write(2, f"\nerror {why}{GO_ON}\n".encode())
            os._exit(BROKEN)
        time.sleep(LEAVING_S)  # what is left to do takes less, unless a call of Ray hangs
        os._exit(BROKEN)

    def _host(self, group: int) -> None:
        """Keep one group's Ray Train job running until it is sent home (a thread of the driver)."""
        reason = ""
        for attempt in range(CONTROLLER_RESTARTS + 1):
            try:
                self._trainer(group, attempt).fit()
                return
            except RayActorError as error:  # the process that controls the group died
                reason = first_line(error)
            except Exception as error:
                reason = first_line(error)
                break
            if self._closing.is_set() or not self._goes_on(group, reason):
                return
        if not self._closing.is_set():
            with suppress(RayActorError):
                ray.get(self.dispatcher.group_lost.remote(group, reason))

    def _goes_on(self, group: int, reason: str) -> bool:
        """Whether a group whose controller died is to start again; frees what it held if so."""
        try:
            goes_on = bool(ray.get(self.dispatcher.group_died.remote(group, reason, "node")))
            if self.settings.this_machine_only:
                remove_other_placements(ray.get(self.dispatcher.placements.remote()))
        except RayActorError:
            return False  # the dispatcher is gone: the guard says so
        return goes_on

    def _trainer(self, group: int, attempt: int) -> _Trainer:
        settings = self.settings
        run: dict[str, Any] = {
            "name": f"group-{group}-{attempt}",
            "storage_path": self._folder,
            "failure_config": FailureConfig(max_failures=-1),
            "callbacks": [_ToldOfDeaths(group, self.dispatcher)],
            "logging_config": LoggingConfig(log_level="ERROR"),
        }
        return _Trainer(
            _work,
            train_loop_config={
                "group": group,
                "settings": settings,
                "dispatcher": self.dispatcher,
                "dataset": self._dataset,
            },
            backend_config=_backend(settings),
            scaling_config=ScalingConfig(
                num_workers=settings.workers,
                use_gpu=settings.gpu is not None,
                resources_per_worker=settings.resources(),
                accelerator_type=None if settings.gpu in (None, "any") else settings.gpu,
            ),
            run_config=ray.train.RunConfig(**run),
        ).without(UNUSED | (ONLY_FOR_CLUSTERS if settings.this_machine_only else set()))


class _Trainer(DataParallelTrainer):
    """What `TorchTrainer` is, without its import of torch into driver and controllers."""

    _unwanted: frozenset[type[RayTrainCallback]] = frozenset()

    def without(self, unwanted: Iterable[type[RayTrainCallback]]) -> _Trainer:
        """Leave out callbacks of Ray Train that each start a process for every group."""
        self._unwanted = frozenset(unwanted)
        return self

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        callbacks: list[RayTrainCallback] = super()._create_default_callbacks()
        return [each for each in callbacks if type(each) not in self._unwanted]


def _backend(settings: PoolSettings) -> BackendConfig:
    """What sets up the process group: torch's, which a single worker has no use for."""
    if settings.workers == 1:
        return BackendConfig()
    from ray.train.torch import TorchConfig

    return TorchConfig(backend="gloo" if settings.gpu is None else "nccl")


class _ToldOfDeaths(UserCallback):
    """Tells the dispatcher why workers of a group died; lives in Ray Train's controller."""

    def __init__(self, group: int, dispatcher: Handle) -> None:
        self.group, self.dispatcher = group, dispatcher

    def after_exception(
        self, run_context: object, worker_exceptions: Mapping[int, Exception]
    ) -> None:
        reason = "; ".join(
            f"rank {rank}: {first_line(error)}" for rank, error in worker_exceptions.items()
        )
        cause = cause_of(list(worker_exceptions.values()))
        if not ray.get(self.dispatcher.group_died.remote(self.group, reason, cause)):
            raise RuntimeError(f"gave up: {reason}")  # ends the job: nobody would restart for ever


def _work(config: dict[str, Any]) -> None:
    """Ray Train's train function, run in every worker of a group."""
    import torch

    from raymm.training.worker import Seat, resolve, serve

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    context, settings = ray.train.get_context(), config["settings"]
    torch.set_num_threads(max(1, int(settings.cpus)))
    seat = Seat(
        group=config["group"],
        incarnation=broadcast_from_rank_zero(uuid.uuid4().hex),
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=torch.device("cpu") if settings.gpu is None else _own_gpu(),
    )
    dataset: Dataset = ray.get(config["dataset"])
    train = partial(resolve(settings.train), checkpoint_interval_s=settings.checkpoint_s)
    serve(seat, config["dispatcher"], dataset, settings.storage, train, settings.watch)


def _own_gpu() -> torch.device:
    import torch
    from ray.train.torch import get_device

    device: torch.device = get_device()
    torch.cuda.set_device(device)
    return device
