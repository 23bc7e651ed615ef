"""A Ray cluster of several nodes on this machine, whose nodes and processes can be killed.

Used by `tests/faults` and `benchmarks/chaos.py`. It touches no process that it has not started: those
of a node are the children of its raylet, those of a command the children of that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from ray._private.state import GlobalState
from ray._raylet import GcsClient, GcsClientOptions
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""
START_ATTEMPTS = 3
TRAINERS = ("ray::RayTrainWorker", "ray::_RayTrainWorker")


class LocalCluster:
    """A head without CPUs, for drivers and controllers, and nodes that train.

    Args:
        nodes: how many.
        cpus: CPUs of each.
        options: of `ray start` for the nodes that train.
    """

    def __init__(self, nodes: int, cpus: float = 1, **options: Any) -> None:
        os.environ.update(ENVIRONMENT)
        head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
        start: Any = partial(Cluster, initialize_head=True, head_node_args=head)
        self._cluster: Any = started(start)
        self._cpus, self._options = cpus, options
        self.nodes: list[Any] = []
        for _ in range(nodes):
            self.add_node()

    @property
    def address(self) -> str:
        """For --address."""
        return str(self._cluster.address)

    def add_node(self) -> None:
        """One more node that trains."""
        start = partial(self._cluster.add_node, num_cpus=self._cpus, **self._options)
        self.nodes.append(started(start))

    def lose_node(self, node: Any) -> None:
        """Kill a node, as a machine that is switched off."""
        children = [pid for raylet in raylets(node) for pid in descendants(raylet)]
        self._cluster.remove_node(node, allow_graceful=False)
        for pid in children:
            kill(pid)
        self.nodes.remove(node)

    def give_notice(self, node: Any, seconds: float) -> None:
        """Announce that a node will go, as clouds do before they take a spot machine back."""
        client = GcsClient(address=self.address)
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int((time.time() + seconds) * 1000)
        client.drain_node(node.node_id, reason, "taken back", deadline_ms)

    def kill_head(self) -> None:
        """Kill every process of the head node."""
        node = self._cluster.head_node
        children = [pid for raylet in raylets(node) for pid in descendants(raylet)]
        self._cluster.remove_node(node, allow_graceful=False)
        for pid in children:
            kill(pid)

    def trainers(self, *nodes: Any) -> list[int]:
        """Process numbers of the workers that train, on some nodes, or on all."""
        return [
            pid
            for node in nodes or self.nodes
            for raylet in raylets(node)
            for pid in descendants(raylet)
            if title(pid).startswith(TRAINERS)
        ]

    def on_head(self, name: str) -> list[int]:
        """Processes of the head node whose title begins with "ray::<name>"."""
        return [
            pid
            for raylet in raylets(self._cluster.head_node)
            for pid in descendants(raylet)
            if title(pid).startswith(f"ray::{name}")
        ]

    def all_processes(self) -> dict[int, str]:
        """Titles of all processes that Ray has started on the nodes, by number."""
        every = [self._cluster.head_node, *self.nodes]
        pids = [pid for node in every for raylet in raylets(node) for pid in descendants(raylet)]
        return {pid: title(pid) for pid in pids}

    def orphans(self) -> dict[int, str]:
        """Titles of what this process has set off that is no part of the living nodes, by number.

        Needs `adopt_orphans`, before the first node is started.
        """
        own: set[int] = set()
        for node in [self._cluster.head_node, *self.nodes]:
            daemons = [info.process.pid for infos in node.all_processes.values() for info in infos]
            own |= {pid for daemon in daemons for pid in (daemon, *descendants(daemon))}
        return {pid: title(pid) for pid in descendants(os.getpid()) if pid not in own}

    def placement_groups(self) -> list[str]:
        """Placement groups that hold or wait for resources."""
        made: Any = GlobalState
        state = made()
        options = GcsClientOptions.create(
            self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
        )
        state._initialize_global_state(options)
        groups: dict[str, Any] = state.placement_group_table()
        state.disconnect()
        return [f"{name[:8]} {g['state']}" for name, g in groups.items() if g["state"] != "REMOVED"]

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all nodes, the head last."""
        for node in list(self.nodes):
            self.lose_node(node)
        if self._cluster.head_node is not None:
            self.kill_head()
        self._cluster.shutdown()


def started(start: Callable[[], Any]) -> Any:
    """Start nodes: on a busy machine they may not come up in the time that Ray gives them.

    Raises:
        Exception: they did not come up in several attempts; what was left of each is killed.
    """
    for left in reversed(range(START_ATTEMPTS)):
        before = set(descendants(os.getpid()))
        try:
            return start()
        except Exception:  # Ray has several ways to say it
            for pid in set(descendants(os.getpid())) - before:
                kill(pid)
            if not left:
                raise
    raise AssertionError


def adopt_orphans() -> None:
    """From now on, what is set off by this process stays below it when its parent ends (Linux).

    Raises:
        OSError: the system refuses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def raylets(node: Any) -> list[int]:
    """Process numbers of a node's raylet, the parent of all it starts."""
    infos = node.all_processes.get("raylet", [])
    return [info.process.pid for info in infos if info.process.poll() is None]


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs, while they run."""
    parents = dict(_parents())
    found, last = [], {pid}
    while last:
        last = {child for child, parent in parents.items() if parent in last}
        found += sorted(last)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    yield int(folder.name), int(fields[1])


def title(pid: int) -> str:
    """What a process is called; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a process; False if it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_one_of(pids: list[int], rng: random.Random, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a random one of some processes; False if there is none."""
    return bool(pids) and kill(rng.choice(pids), number)


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """Send a signal to a command alone, and wait for its exit status."""
    process.send_signal(number)
    return process.wait(timeout=120)
