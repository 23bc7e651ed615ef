"""What fits where: arithmetic of resources, without a cluster. Imports no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raymm.errors import ConfigError


def workers_that_fit(
    nodes: Sequence[Mapping[str, float]],
    needs: Mapping[str, float],
    growth: Sequence[tuple[Mapping[str, float], int]] = (),
) -> int:
    """How many workers the cluster can hold: on the nodes it has, or on what it may grow to.

    Args:
        nodes: resources of each node that is alive.
        needs: resources of one worker.
        growth: resources of the kinds of nodes that an autoscaler may start, and how many of each.
    """

    def held(resources: Mapping[str, float]) -> int:
        each = (times(resources.get(name, 0.0), need, name) for name, need in needs.items() if need)
        return min(each)

    now = sum(held(node) for node in nodes)
    return max(now, sum(held(kind) * most for kind, most in growth))


def times(amount: float, need: float, name: str) -> int:
    """How often a need goes into what a node has. A share of a GPU cannot be put together of two."""
    if name == "GPU" and need < 1:
        return int(amount) * times(1.0, need, "")
    return int(amount / need + 1e-6)


def check_gpu_share(gpus: float, workers: int, gpu: str | None) -> None:
    """Refuse a share of a GPU that cannot be had.

    Raises:
        ConfigError: it is out of range, without a GPU, or would put two ranks of one cell on the
            same GPU, which NCCL refuses.
    """
    if not 0 < gpus <= 1:
        raise ConfigError(f"--gpus-per-worker = {gpus:g} is out of range. Give above 0, at most 1.")
    if gpus < 1 and gpu is None:
        raise ConfigError(
            f"--gpus-per-worker = {gpus:g} shares out a GPU, but no --gpu is asked for. Give "
            "--gpu any, or leave it out."
        )
    if gpus < 1 and workers > 1:
        raise ConfigError(
            f"--gpus-per-worker = {gpus:g} with --workers-per-cell = {workers} could put two ranks "
            "of one cell on the same GPU, over which NCCL cannot exchange. Use 1 worker per cell, "
            "or whole GPUs."
        )
