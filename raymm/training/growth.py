"""What a cluster may grow to: the node types of its autoscaler.

Ray's autoscaler keeps its limits to itself: the cluster's own record of them
(`get_max_resources_from_cluster_config`) is filled in by managed services only. A cluster that has
scaled to zero looks like one without GPUs. But the autoscaler is a process on the head, with its
configuration in a file there, or with KubeRay in the RayCluster, which the head's pod may read. And the
head is where a submitted driver runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

MONITOR = "monitor.py"
CLUSTER, PORT = "RAY_CLUSTER_NAME", "RAY_PORT"
"""Variables by which KubeRay tells a pod its RayCluster, and the port of that cluster's head."""
UNKNOWN_MOST = 16
"""Groups asked for where nodes may come, but how many is not known. `--max-concurrent` says otherwise."""
LOGGER = logging.getLogger(__name__)


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
    address = ray.get_runtime_context().gcs_address
    types = _types_on_record() or _types_in_file(address) or types_in_kubernetes(address)
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


def types_in_kubernetes(gcs_address: str) -> list[NodeType]:
    """As KubeRay's autoscaler reads them, of the RayCluster, if this is the pod of its head.

    The autoscaler runs in the same pod, so what it may ask Kubernetes for, a driver may too.

    Args:
        gcs_address: of the connected cluster; a Ray that was started in the pod for itself is another.
    """
    name = os.environ.get(CLUSTER)
    if name is None or gcs_address.rpartition(":")[2] != os.environ.get(PORT):
        return []
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    token = Path(node_provider.IN_CLUSTER_TOKEN_PATH)
    try:
        namespace = token.with_name("namespace").read_text()
        client: Any = node_provider.KubernetesHttpApiClient(namespace)
        found = client.get(f"rayclusters/{name}")
    except OSError as error:  # so are those of the requests package
        LOGGER.warning(
            "What the RayCluster %s may grow to is not known, as Kubernetes does not say: %s. A driver "
            "in a pod of the head, under the head's service account, is told. Now workers of a cell may "
            "be on several machines, and at most %d cells are trained at a time, or --max-concurrent.",
            name,
            error,
            UNKNOWN_MOST,
        )
        return []
    derive: Any = autoscaling_config._derive_autoscaling_config_from_ray_cr
    return node_types(derive(found))


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
