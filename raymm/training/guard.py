"""Watches over the worker processes of a pool, from threads of the driver.

Kills those that hang, and frees the places of those whose controller has died.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray._raylet import PlacementGroupID
from ray.core.generated import gcs_pb2
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymm.training.deaths import ACTOR_GONE, first_line
from raymm.training.dispatch import Handle
from raymm.training.watchdog import Hung

KILL_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
DISPATCHER_DIED = "The process that deals out the cells died ({})."
HEAD_PATIENCE_S = 20.0
"""How long the head may be away; a process that uses Ray ends by itself after a minute."""
WITHOUT_HEAD_S, WITHOUT_DISPATCHER_S = 15.0, 120.0
CONNECT_TIMEOUT_S = 5.0
LOGGER = logging.getLogger(__name__)
PROTOBUF: Any = gcs_pb2
"""Made when it is imported, so that its classes are not known to a type checker."""


class Guard:
    """Asks the dispatcher every few seconds who hangs, and tells it which nodes are lost.

    Args:
        interval_s: seconds between two rounds.
        on_broken: called if nothing can be trained any more, with the reason, a sentence, the
            seconds that whoever waits for cells has to end in good order, and whether Ray is gone.
    """

    def __init__(
        self, dispatcher: Handle, interval_s: float, on_broken: Callable[[str, float, bool], None]
    ) -> None:
        self._dispatcher, self._interval_s = dispatcher, interval_s
        self._on_broken = on_broken
        self._head = ray.get_runtime_context().gcs_address
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; call it once."""
        for work in (self._watch_head, self._watch_workers):
            threading.Thread(target=work, name=f"raymm-guard{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Kill nobody from now on."""
        self._stopped.set()

    def _watch_head(self) -> None:
        """In a thread of its own: without the head, Ray's calls hang, and end the process at last."""
        seen = time.monotonic()
        while not self._stopped.wait(self._interval_s):
            if _answers(self._head):
                seen = time.monotonic()
            elif time.monotonic() - seen > HEAD_PATIENCE_S:
                reason = f"The head of the Ray cluster ({self._head}) is gone."
                self._on_broken(reason, WITHOUT_HEAD_S, True)
                return

    def _watch_workers(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._round()
            except ACTOR_GONE as error:
                reason = DISPATCHER_DIED.format(first_line(error))
                self._on_broken(reason, WITHOUT_DISPATCHER_S, False)
                return
            except (RayError, OSError, RuntimeError) as error:
                LOGGER.debug("The cluster could not be looked at: %s", error)

    def _round(self) -> None:
        call = self._dispatcher.look.remote(lost_nodes())
        hung: Sequence[Hung] = ray.get(call, timeout=ANSWER_TIMEOUT_S)
        for each in hung:
            if not self._stopped.is_set():
                kill_process(each.node, each.pid)
        free_places_of_the_dead()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def free_places_of_the_dead() -> None:
    """Remove the placement groups of this job whose maker, the controller of a worker group, is dead.

    Ray does it when the job ends. Until then nobody else would get their places.
    """
    job = ray.get_runtime_context().get_job_id()
    table: Any = ray._private.state.state._connect_and_get_accessor().get_placement_group_table()
    for packed in table:
        found: Any = PROTOBUF.PlacementGroupTableData.FromString(packed)
        # Of what the driver made, Tune's for its trials, no actor is the maker: the nil id, all ones.
        by_actor = found.creator_actor_id.strip(b"\xff") != b""
        ours = found.creator_job_id.hex() == job and by_actor and found.creator_actor_dead
        if ours and found.state != PROTOBUF.PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(PlacementGroupID(found.placement_group_id)))


def lost_nodes() -> frozenset[str]:
    """The nodes that are gone, or that will be soon: spot machines that were given notice."""
    nodes: Any = ray.nodes  # Ray leaves it untyped
    gone = {node["NodeID"] for node in nodes() if not node["Alive"]}
    draining = ray._private.state.state.get_draining_nodes()
    return frozenset(gone | set(draining))


def kill_process(node: str, pid: int) -> None:
    """Kill a process of any node with a signal that it cannot refuse, stopped as it may be.

    Ray's own kill is a request to the process, which one that hangs does not answer.
    """
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_kill)
    call = task.options(scheduling_strategy=there).remote(pid)
    ray.get(call, timeout=KILL_TIMEOUT_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
