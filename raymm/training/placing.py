"""What fits where: arithmetic of resources, without a cluster. Imports no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raymm.errors import ConfigError

Nodes = Sequence[Mapping[str, float]]
Growth = Sequence[tuple[Mapping[str, float], int]]


@dataclass(frozen=True)
class Room:
    """What a cluster can hold.

    Attributes:
        groups: of workers, at the same time.
        one_node: whether all workers of a group are to be on one node.
    """

    groups: int
    one_node: bool


def room_for(workers: int, nodes: Nodes, needs: Mapping[str, float], growth: Growth = ()) -> Room:
    """How many groups a cluster can hold: on the nodes it has, or on what it may grow to.

    Workers of one group exchange gradients at every step, and a machine's own links are many times
    as fast as a network. So a group's workers are on one node, unless fewer than half as many
    groups would fit: where most nodes are smaller than a group, most would stand idle.

    Args:
        workers: of a group.
        nodes: resources of each node that is alive.
        needs: resources of one worker.
        growth: resources of the kinds of nodes that an autoscaler may start, and how many of each.
    """

    def fitting(share: int) -> int:
        """How many shares of so many workers each fit, none of them over two nodes."""
        now = sum(_held(node, needs) // share for node in nodes)
        return max(now, sum(_held(kind, needs) // share * most for kind, most in growth))

    anywhere, whole = fitting(1) // workers, fitting(workers)
    one_node = workers > 1 and whole > 0 and 2 * whole >= anywhere
    return Room(whole if one_node else anywhere, one_node)


def workers_that_fit(nodes: Nodes, needs: Mapping[str, float]) -> int:
    """How many workers some nodes can hold.

    Args:
        nodes: resources of each.
        needs: resources of one worker.
    """
    return sum(_held(node, needs) for node in nodes)


def _held(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    return min(times(resources.get(name, 0.0), need, name) for name, need in needs.items() if need)


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
