"""Room for a sweep's cells: what fits at a time, and what fits nowhere, known before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib

from raymm.errors import SweepError
from raymm.sweep.cells import Cell
from raymm.sweep.estimate import estimate
from raymm.sweep.placement import by_gpu
from raymm.sweep.plan import Sweep
from raymm.sweep.prices import ACCELERATOR_TYPE, GPU_MEMORY_GIB, is_of_kind
from raymm.training.placing import workers_that_fit


def check_room(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Refuse cells that cannot be placed on this machine or cluster.

    Raises:
        SweepError: the cluster cannot be reached, or not even one fits; says what there is.
        ConfigError: `--larger-gpu` cannot be compared.
    """
    if cells:
        check_memory(sweep, cells)
        cells_at_a_time(sweep, cells)


def cells_at_a_time(sweep: Sweep, cells: Sequence[Cell]) -> int:
    """How many cells fit at a time; see `find_room`.

    Raises:
        SweepError: the cluster cannot be reached, or not even one of some kind fits.
    """
    return find_room(sweep, cells).at_once


@dataclass(frozen=True)
class Found:
    """Room for a sweep's cells.

    Attributes:
        groups: of workers at a time, by kind of GPU.
        nodes: resources of each kind of node that is there or may come, by Ray's names; None if it is
            not known what may come.
        most: cells at a time by the settings; None without a limit.
    """

    groups: Mapping[str | None, int]
    nodes: Sequence[Mapping[str, float]] | None
    most: int | None

    def groups_of(self, gpu: str | None) -> int:
        """Groups on one kind of GPU, while no others are at work."""
        fit = self.groups[gpu]
        return min(fit, self.most or fit)

    @property
    def at_once(self) -> int:
        """Cells that fit at a time."""
        fit = sum(self.groups.values())
        return min(fit, self.most or fit)


def find_room(sweep: Sweep, cells: Sequence[Cell]) -> Found:
    """What fits where. Starts no Ray, but may ask one that runs.

    Raises:
        SweepError: the cluster cannot be reached, or not even one of some kind fits.
    """
    from raymm.sweep.machines import check_cluster
    from raymm.training.cluster import connected, groups_on_this_machine, room_on_cluster

    settings = sweep.settings
    nodes: Sequence[Mapping[str, float]] | None = None
    if settings.address is not None:
        resources = {"CPU": float(settings.cpus_per_worker)}
        resources |= {"GPU": settings.gpus_per_worker} if settings.gpu else {}
        with connected(settings.address):
            check_cluster(sweep)
            nodes = _kinds_of_nodes()
            groups = {
                gpu: room_on_cluster(settings.workers, resources, gpu).groups
                for gpu in by_gpu(sweep, cells)
            }
    elif settings.gpu is None:
        groups = {None: groups_on_this_machine(settings.workers, settings.cpus_per_worker)}
    else:
        needs = {"GPU": settings.gpus_per_worker, "CPU": float(settings.cpus_per_worker)}
        kind, own = _this_machine()
        groups = {
            gpu: _groups_here(settings.workers, gpu, needs, kind, own)
            for gpu in by_gpu(sweep, cells)
        }
        nodes = [own]
    return Found(groups, nodes, settings.max_concurrent)


def check_memory(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Refuse cells whose parameters alone, with what goes with them, do not fit their GPU.

    What a step takes besides is only estimated, and can be cut: see `raymm.training.microbatch`.

    Raises:
        SweepError: says which, and what it takes.
    """
    settings = sweep.settings
    if settings.gpu is None:
        return
    for gpu, own in by_gpu(sweep, cells).items():
        if gpu not in GPU_MEMORY_GIB:
            continue
        share = GPU_MEMORY_GIB[gpu] * settings.gpus_per_worker
        for cell in own:
            least = estimate(cell.config, sweep.dataset, settings.workers, gpu=True).least_gib
            if least > share:
                raise SweepError(
                    f"No cell like {cell.title} can be placed: its weights, their gradients and the "
                    f"optimizer's moments take {least:.1f} GiB, and a worker's share of a {gpu} "
                    f"({settings.gpus_per_worker:g}) has {share:.1f} GiB. Choose a larger --gpu or "
                    "--larger-gpu, or lower --width or --depth."
                )


def _kinds_of_nodes() -> Sequence[Mapping[str, float]] | None:
    """Resources of the kinds of nodes that the connected cluster has or may start; None if unknown."""
    import ray

    from raymm.training.growth import growth

    may_come = growth()
    if may_come is not None:
        return None if may_come.types is None else [kind.resources for kind in may_come.types]
    nodes: Any = ray.nodes  # Ray leaves it untyped
    return [node["Resources"] for node in nodes() if node["Alive"]]


def _this_machine() -> tuple[str, dict[str, float]]:
    """The kind of this machine's GPUs, and its resources."""
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Nvidia

    have, kind = Nvidia.get_current_node_num_accelerators(), "none"
    if have:
        kind = Nvidia.get_current_node_accelerator_type() or "unknown"
    own = {"GPU": float(have), "CPU": float(joblib.cpu_count())}
    return kind, own | ({f"{ACCELERATOR_TYPE}{kind}": 1.0} if have else {})


def _groups_here(
    workers: int, gpu: str | None, needs: Mapping[str, float], kind: str, own: Mapping[str, float]
) -> int:
    """How many groups fit this machine.

    Raises:
        SweepError: not even one; says what there is.
    """
    groups = workers_that_fit([own], needs) // workers
    if groups and gpu is not None and (gpu == "any" or is_of_kind(kind, gpu)):
        return groups
    raise SweepError(
        f"No cell can be placed: it needs {workers} worker(s) with a GPU of kind {gpu} and "
        f"{needs['CPU']:g} CPU(s) each, and this machine has {own['GPU']:g} (kind: {kind}) and "
        f"{own['CPU']:g} CPU(s). Give the --address of a cluster that has them, lower "
        "--workers-per-cell or --cpus-per-worker, or leave --gpu out."
    )
