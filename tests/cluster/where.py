"""A train function that finds out on how many nodes a cell's workers are. Run in workers."""

from __future__ import annotations

from typing import Any

import ray
import torch.distributed as dist


def train(*_: object, **__: object) -> dict[str, float]:
    """Trains nothing."""
    nodes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(nodes, ray.get_runtime_context().get_node_id())
    return {"workers": float(len(nodes)), "nodes": float(len(set(nodes)))}
