"""Watches over the worker processes of a pool: a thread of the driver. Kills those that hang."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymm.training.dispatch import Handle
from raymm.training.watchdog import Hung

KILL_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
LOGGER = logging.getLogger(__name__)


class Guard:
    """Asks the dispatcher every few seconds who hangs, and tells it which nodes are lost.

    Args:
        interval_s: seconds between two rounds.
    """

    def __init__(self, dispatcher: Handle, interval_s: float) -> None:
        self._dispatcher, self._interval_s = dispatcher, interval_s
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; call it once."""
        threading.Thread(target=self._run, name="raymm-guard", daemon=True).start()

    def stop(self) -> None:
        """Kill nobody from now on."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._round()
            except RayActorError:
                return  # the dispatcher is gone: whoever waits for a cell is told so
            except (RayError, OSError, RuntimeError) as error:
                LOGGER.debug("The cluster could not be looked at: %s", error)

    def _round(self) -> None:
        call = self._dispatcher.look.remote(lost_nodes())
        hung: Sequence[Hung] = ray.get(call, timeout=ANSWER_TIMEOUT_S)
        for each in hung:
            if not self._stopped.is_set():
                kill_process(each.node, each.pid)


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
