"""Room for a sweep's cells: what fits at a time, and what fits nowhere, known before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import joblib

from raymm.errors import SweepError
from raymm.sweep.cells import Cell
from raymm.sweep.estimate import estimate
from raymm.sweep.placement import by_gpu
from raymm.sweep.plan import Sweep
from raymm.sweep.prices import GPU_MEMORY_GIB
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
    """How many cells fit at a time. Starts no Ray, but may ask one that runs.

    Raises:
        SweepError: the cluster cannot be reached, or not even one of some kind fits.
    """
    from raymm.sweep.machines import check_cluster
    from raymm.training.cluster import connected, groups_on_this_machine, room_on_cluster

    settings = sweep.settings
    if settings.address is not None:
        resources = {"CPU": float(settings.cpus_per_worker)}
        resources |= {"GPU": settings.gpus_per_worker} if settings.gpu else {}
        with connected(settings.address):
            check_cluster(sweep)
            fit = sum(
                room_on_cluster(settings.workers, resources, gpu).groups
                for gpu in by_gpu(sweep, cells)
            )
    elif settings.gpu is None:
        fit = groups_on_this_machine(settings.workers, settings.cpus_per_worker)
    else:
        needs = {"GPU": settings.gpus_per_worker, "CPU": float(settings.cpus_per_worker)}
        fit = sum(_groups_on_own_gpus(settings.workers, g, needs) for g in by_gpu(sweep, cells))
    return min(fit, settings.max_concurrent or fit)


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


def _groups_on_own_gpus(workers: int, gpu: str | None, needs: Mapping[str, float]) -> int:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Nvidia

    have, kind = Nvidia.get_current_node_num_accelerators(), "none"
    if have:
        kind = Nvidia.get_current_node_accelerator_type() or "unknown"
    cpus = joblib.cpu_count()
    groups = workers_that_fit([{"GPU": float(have), "CPU": float(cpus)}], needs) // workers
    if groups and (gpu in ("any", kind) or kind.startswith(f"{gpu}-")):
        return groups
    raise SweepError(
        f"No cell can be placed: it needs {workers} worker(s) with a GPU of kind {gpu} and "
        f"{needs['CPU']:g} CPU(s) each, and this machine has {have} (kind: {kind}) and {cpus} "
        "CPU(s). Give the --address of a cluster that has them, lower --workers-per-cell or "
        "--cpus-per-worker, or leave --gpu out."
    )
