"""What a cluster may grow to: the node types of its autoscaler.

Ray's autoscaler keeps its limits to itself: the cluster's own record of them
(`get_max_resources_from_cluster_config`) is filled in by managed services only. A cluster that has
scaled to zero looks like one without GPUs. But the autoscaler is a process on the head, with its
configuration in a file there, and the head is where a submitted driver runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

MONITOR = "monitor.py"
UNKNOWN_MOST = 16
"""Groups asked for where nodes may come, but how many is not known. `--max-concurrent` says otherwise."""


@dataclass(frozen=True)
class NodeType:
    """Nodes that an autoscaler may start.

    Attributes:
        resources: of one of them, by Ray's names.
        most: how many there may be at a time.
    """

    name: str
    resources: Mapping[str, float]
    most: int


@dataclass(frozen=True)
class Growth:
    """What may come to a cluster.

    Attributes:
        types: the node types; None if there is an autoscaler, but what it may start is not known here.
    """

    types: Sequence[NodeType] | None


def growth() -> Growth | None:
    """What the connected cluster may grow to; None if it stays as it is."""
    types = _types_on_record() or _types_in_file(ray.get_runtime_context().gcs_address)
    if types:
        return Growth(types)
    return Growth(None) if _launched_by_an_autoscaler() else None


def _types_on_record() -> list[NodeType]:
    """As managed services record them."""
    config: Any = ray._private.state.state.get_cluster_config()
    groups = config.node_group_configs if config else ()
    return [
        NodeType(each.name, dict(each.resources), each.max_count)
        for each in groups
        if each.max_count > 0
    ]


def _types_in_file(gcs_address: str) -> list[NodeType]:
    """As the autoscaler of this machine was told, if the head is this machine."""
    for arguments in _commands():
        options = dict(each.split("=", 1) for each in arguments if "=" in each)
        file = options.get("--autoscaling-config")
        if file and options.get("--gcs-address") == gcs_address:
            return node_types(yaml.safe_load(Path(file).expanduser().read_text()))
    return []


def node_types(config: Mapping[str, Any]) -> list[NodeType]:
    """The workers' node types of an autoscaler's configuration; all together `max_workers` at most."""
    in_all = int(config.get("max_workers", 2))
    found = []
    for name, content in config.get("available_node_types", {}).items():
        most = min(int(content.get("max_workers", 0)), in_all)
        if most > 0 and name != config.get("head_node_type"):
            found.append(NodeType(name, content.get("resources", {}), most))
    return found


def _commands() -> Iterator[list[str]]:
    """The command lines of the monitors on this machine (Linux)."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue  # it has ended, or is not ours to look at
            if any(os.path.basename(each) == MONITOR for each in arguments[:4]):
                yield arguments


def _launched_by_an_autoscaler() -> bool:
    """Whether nodes are of a group: launchers and KubeRay name it, `ray start` by hand does not."""
    nodes: Any = ray.nodes  # Ray leaves these untyped
    raylet: Any = ray._raylet
    group = raylet.RAY_NODE_GROUP_KEY
    return any(node["Labels"].get(group) for node in nodes() if node["Alive"])
