"""A warm worker group: a Ray Train job that trains cell after cell. The only importer of ray.train.

A Ray Train job costs 10 to 20 s to start, most cells less than that to train. So each group of
workers is one long Ray Train job whose train function asks a `Dispatcher` for cells until there are
no more. Process group, imports, data and CUDA context stay; Ray Train's fault tolerance stays too:
when a worker's process dies, its group is started again, and the cell goes on from its checkpoint.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import ray
import ray.train
from ray.train.backend import BackendConfig
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2.api.callback import RayTrainCallback, UserCallback
from ray.train.v2.api.config import FailureConfig, LoggingConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from raymm.data.dataset import Dataset
from raymm.training.deaths import (
    KILLED_BY_THE_SYSTEM,
    cause_of,
    first_line,
    killed_by_the_system,
)
from raymm.training.dispatch import Handle
from raymm.training.placing import check_gpu_share
from raymm.training.watchdog import WatchSettings

if TYPE_CHECKING:
    import torch

UNUSED: Final = {DatasetsCallback, PlacementGroupCleanerCallback}
"""The first serves Ray Data, which we do not use: cells share one data set in the object store. The
second frees what a dead controller held, by an actor that outlives the sweep, for ever if that came
to a bad end, and does nothing on a cluster without dashboard: `raymm.training.guard` does it."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """The shape of the worker groups.

    Attributes:
        workers: worker processes of a group: the ranks that share a cell's batches.
        cpus: CPUs of a worker; also its threads.
        gpu: kind of GPU each worker gets one of ("A10G"), "any", or None for CPU.
        gpus: GPUs of a worker: 1, or a share below 1, so that several cells use one at a time.
        one_node: whether all workers of a group are on one node; without it they are where there is
            room, on few nodes rather than many.
        storage: root of the cells' folders; a path all nodes see, or an fsspec address.
        max_attempts: see `Dispatcher`.
        checkpoint_s: least seconds between two checkpoints of a cell: what it may lose.
        watch: when a worker that stands still is taken to hang.
        train: "package.module:name" of the function that trains a cell.
    """

    workers: int = 1
    cpus: float = 1
    gpu: str | None = None
    gpus: float = 1.0
    one_node: bool = False
    storage: str
    max_attempts: int = 3
    checkpoint_s: float = 30.0
    watch: WatchSettings = field(default_factory=WatchSettings)
    train: str = "raymm.training.loop:train_cell"

    def __post_init__(self) -> None:
        check_gpu_share(self.gpus, self.workers, self.gpu)

    def resources(self) -> dict[str, float]:
        """Ray resources of one worker."""
        gpu = {} if self.gpu is None else {"GPU": float(self.gpus)}
        return {"CPU": float(self.cpus), **gpu}


def make_trainer(
    settings: PoolSettings,
    group: int,
    dispatcher: Handle,
    dataset: ray.ObjectRef[Dataset],
    name: str,
    folder: str,
) -> DataParallelTrainer:
    """The Ray Train job of a group.

    Args:
        group: its number.
        name: of the job; another at each start.
        folder: where Ray Train may write what it needs while it runs.
    """
    run: dict[str, Any] = {
        "name": name,
        "storage_path": folder,
        "failure_config": FailureConfig(max_failures=-1),
        "callbacks": [_ToldOfDeaths(group, dispatcher)],
        "logging_config": LoggingConfig(log_level="ERROR"),
    }
    return _Trainer(
        _work,
        train_loop_config={
            "group": group,
            "settings": settings,
            "dispatcher": dispatcher,
            "dataset": dataset,
        },
        backend_config=_backend(settings),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.gpu is not None,
            resources_per_worker=settings.resources(),
            placement_strategy="STRICT_PACK" if settings.one_node else "PACK",
            accelerator_type=None if settings.gpu in (None, "any") else settings.gpu,
        ),
        run_config=ray.train.RunConfig(**run),
    ).without(UNUSED)


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
        if cause == "crash":
            before = ray.get(self.dispatcher.oom_kills.remote(self.group))
            if killed_by_the_system(before):
                cause, reason = "memory", f"{KILLED_BY_THE_SYSTEM} ({reason})"
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
