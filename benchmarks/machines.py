"""Machines for Ray's autoscaler: processes here, which are off the list once they are gone."""

from __future__ import annotations

from typing import Any

from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class Machines(FakeMultiNodeProvider):
    """Ray's fake provider, but a machine whose raylet was killed is no longer on its list.

    Ray's own keeps it, and the autoscaler waits for ever for it to come up. A cloud does not list a
    machine that was switched off or taken back.
    """

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Machines that are there, by the tags that are asked for."""
        with self.lock:
            gone = [name for name, each in self._nodes.items() if "node" in each and _is_gone(each)]
            for name in gone:
                self.terminate_node(name)
            found: list[str] = super().non_terminated_nodes(tag_filters)
            return found


def _is_gone(machine: dict[str, Any]) -> bool:
    return any(kind == PROCESS_TYPE_RAYLET for kind, _ in machine["node"].dead_processes())
