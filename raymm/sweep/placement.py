"""Which kind of GPU each cell is trained on: the larger one only where the estimate asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.errors import ConfigError, nearest
from raymm.sweep.cells import Cell
from raymm.sweep.estimate import SLACK, estimate
from raymm.sweep.plan import Sweep
from raymm.sweep.prices import GPU_MEMORY_GIB


def by_gpu(sweep: Sweep, cells: Sequence[Cell]) -> dict[str | None, list[Cell]]:
    """The cells by the kind of GPU that they are trained on, in their order.

    All go to --gpu, unless --larger-gpu names another kind: then those go there whose estimated
    memory, with the factor that the estimate is good for, is more than the share of --gpu that a
    worker gets.

    Raises:
        ConfigError: the memory of --gpu is not known, or that of --larger-gpu is not larger.
    """
    settings = sweep.settings
    if settings.larger_gpu is None:
        return {settings.gpu: list(cells)}
    small, large = (
        _memory_gib("--gpu", settings.gpu),
        _memory_gib("--larger-gpu", settings.larger_gpu),
    )
    if large <= small:
        raise ConfigError(
            f"--larger-gpu {settings.larger_gpu} has {large:g} GiB, --gpu {settings.gpu} has "
            f"{small:g} GiB. Give the larger kind as --larger-gpu."
        )
    found: dict[str | None, list[Cell]] = {}
    for cell in cells:
        need = estimate(cell.config, sweep.dataset, settings.workers, gpu=True)
        fits = need.memory_gib * SLACK <= small * settings.gpus_per_worker
        found.setdefault(settings.gpu if fits else settings.larger_gpu, []).append(cell)
    return found


def _memory_gib(setting: str, gpu: str | None) -> float:
    if gpu not in GPU_MEMORY_GIB:
        raise ConfigError(
            f"{setting} = {gpu}: how much memory it has is not known, so models cannot be placed by "
            f"what they need. {nearest(str(gpu), GPU_MEMORY_GIB)}"
        )
    return GPU_MEMORY_GIB[gpu]
