"""What Ray's own autoscaler (v2, as KubeRay runs it) starts of the shipped RayCluster for a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler.v2 import scheduler, utils
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.core.generated import autoscaler_pb2

from raymm.training.growth import node_types
from raymm.training.placing import room_for

MANIFEST = Path(__file__).parent.parent.parent / "cluster/kuberay/raycluster.yaml"
KINDS: Any = utils.ResourceRequestUtil.PlacementConstraintType
PROTOBUF: Any = autoscaler_pb2


def derived() -> dict[str, Any]:
    """The autoscaler's configuration, made of the manifest as in the pod of the head."""
    documents = yaml.safe_load_all(MANIFEST.read_text())
    cluster = next(each for each in documents if each["kind"] == "RayCluster")
    cluster["metadata"]["namespace"] = "default"
    derive: Any = autoscaling_config._derive_autoscaling_config_from_ray_cr
    made: dict[str, Any] = derive(cluster)
    return made


def group(number: int, workers: int, needs: dict[str, float], one_node: bool) -> Any:
    """A group of workers that waits, as Ray's head tells of it: STRICT_PACK is an affinity."""
    affinity = [(KINDS.AFFINITY, "_PG", str(number))] if one_node else None
    make: Any = utils.ResourceRequestUtil.make
    return PROTOBUF.GangResourceRequest(requests=[make(needs, affinity) for _ in range(workers)])


def started(groups: list[Any]) -> dict[str, int]:
    """Nodes that the autoscaler starts in one round, by type; what it cannot place fails."""
    make: Any = AutoscalingConfig
    config = make(derived(), skip_content_hash=True)
    request: Any = scheduler.SchedulingRequest
    asked = request(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        gang_resource_requests=groups,
    )
    ask: Any = scheduler.ResourceDemandScheduler()
    reply = ask.schedule(asked)
    assert not reply.infeasible_gang_resource_requests
    found = {each.instance_type: each.count for each in reply.to_launch}
    found.pop("headgroup", None)  # it knows of no node here, so it would start one, too
    return found


@pytest.mark.parametrize(
    ("workers", "kind", "expected"),
    [
        (1, "A10G", {"a10g": 8, "a10g-x4": 4}),
        (4, "A10G", {"a10g-x4": 4}),  # on nodes of one GPU a cell would be on four
        (8, "A100", {"a100-x8": 1}),
    ],
)
def test_what_a_sweep_has_room_for_comes_together(
    workers: int, kind: str, expected: dict[str, int]
) -> None:
    needs = {"CPU": 4.0, "GPU": 1.0, f"accelerator_type:{kind}": 0.001}
    grown = [(each.resources, each.most) for each in node_types(derived())]
    room = room_for(workers, [], needs, grown)
    assert room.one_node == (workers > 1)
    groups = [group(number, workers, needs, room.one_node) for number in range(room.groups)]
    assert started(groups) == expected


def test_a_group_more_than_there_is_room_for_would_be_refused() -> None:
    needs = {"CPU": 4.0, "GPU": 1.0, "accelerator_type:A100": 0.001}
    with pytest.raises(AssertionError):
        started([group(number, 8, needs, True) for number in range(2)])
