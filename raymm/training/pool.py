"""A pool of warm worker groups and the dispatcher that feeds them: what a driver holds."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymm.data.dataset import Dataset
from raymm.errors import SweepError
from raymm.training.deaths import ACTOR_GONE, first_line
from raymm.training.dispatch import Dispatcher, Handle
from raymm.training.group import PoolSettings, make_trainer
from raymm.training.guard import DISPATCHER_DIED, Guard
from raymm.training.interrupt import interrupt_main_thread
from raymm.training.scratch import scratch_folder

__all__ = ["PoolSettings", "WorkerPool"]

CONTROLLER_RESTARTS = 5
"""How often a group whose controlling process dies is started again."""
BROKEN = 2
"""Exit status of a process that could not end in good order: that of an error to mend."""
GO_ON = (
    " What is recorded stays, and cells go on from their last checkpoint: give the same command "
    "again once the cluster is there."
)
WAITERS = 10_000
"""Calls that may wait in the dispatcher at once: a few for each worker and each trial."""


class WorkerPool:
    """Worker groups and the dispatcher that feeds them, on the Ray this process is connected to.

    Args:
        dataset: what all cells are trained on; one copy goes to each node.
        groups: groups that train at the same time.
        expected: how many cells will be submitted; groups end when there are no more to come. None
            if it is not known: they end when the pool is left.

    Use as a context manager: leaving it stops the groups.
    """

    def __init__(
        self, settings: PoolSettings, dataset: Dataset, *, groups: int, expected: int | None
    ) -> None:
        self.settings = settings
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {"max_concurrency": WAITERS, "scheduling_strategy": here}
        actor: Any = ray.remote(num_cpus=0)(Dispatcher)
        self.dispatcher: Handle = actor.options(**options).remote(
            groups, expected, settings.max_attempts
        )
        self._dataset = ray.put(dataset)
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_folder("train"))
        self._closing = threading.Event()
        self._guard = Guard(self.dispatcher, settings.watch.beat_s, self._broken)
        self._why_broken = ""
        self._threads = [
            threading.Thread(target=self._host, args=(group,), daemon=True, name=f"group-{group}")
            for group in range(groups)
        ]

    def __enter__(self) -> WorkerPool:
        self._guard.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, timeout_s: float = 30.0) -> None:
        """Send the groups home: after the epoch they are at, or at once when they are idle.

        Args:
            timeout_s: how long to wait for them in all; more than a group takes to start, since one
                that is starting while this process leaves Ray would take the process with it. A
                group in a longer epoch ends when this process leaves Ray.

        Raises:
            SweepError: the pool broke down while it was open.
        """
        self._closing.set()
        self._guard.stop()
        if self._why_broken:
            raise SweepError(self._why_broken + GO_ON)
        try:
            ray.get(self.dispatcher.close.remote())
        except ACTOR_GONE as error:
            raise SweepError(DISPATCHER_DIED.format(first_line(error)) + GO_ON) from error
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._stack.close()

    def _broken(self, why: str, patience_s: float, ray_gone: bool) -> None:
        """Nothing can be trained any more: interrupt whoever waits, and say why on leaving.

        Whoever waits may be deep in a call of Ray that has no end without a cluster, until Ray ends
        the process without a word. So after a while the process ends here.
        """
        if self._closing.is_set():
            return
        self._why_broken = why
        interrupt_main_thread()
        if not self._closing.wait(patience_s):
            os.write(2, f"\nerror {why}{GO_ON}\n".encode())
            os._exit(BROKEN)
        if ray_gone:
            time.sleep(patience_s)
            os._exit(BROKEN)

    def _host(self, group: int) -> None:
        """Keep one group's Ray Train job running until it is sent home (a thread of the driver)."""
        reason = ""
        for attempt in range(CONTROLLER_RESTARTS + 1):
            try:
                name = f"group-{group}-{attempt}"
                make_trainer(
                    self.settings, group, self.dispatcher, self._dataset, name, self._folder
                ).fit()
                return
            except ACTOR_GONE as error:  # the process that controls the group died
                reason = first_line(error)
            except Exception as error:
                reason = first_line(error)
                break
            if self._closing.is_set() or not self._goes_on(group, reason):
                return
        if not self._closing.is_set():
            with suppress(*ACTOR_GONE):
                ray.get(self.dispatcher.group_lost.remote(group, reason))

    def _goes_on(self, group: int, reason: str) -> bool:
        """Whether a group whose controller died is to start again; the guard frees what it held."""
        try:
            return bool(ray.get(self.dispatcher.group_died.remote(group, reason, "node")))
        except ACTOR_GONE:
            return False  # the dispatcher is gone: the guard says so
