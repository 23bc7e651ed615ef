"""Asks the nodes of a cluster about themselves: all at once, and no longer than a set time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raymm.doctor.facts import NodeFacts, node_facts

ANSWER_TIMEOUT_S = 120.0
"""For all nodes together: the first task of a node starts a process and imports torch."""
CLOCK_TIMEOUT_S, CLOCK_ROUNDS = 10.0, 3
"""The first round may have to start a process; the shortest journey tells most of a clock."""


@dataclass(frozen=True)
class Answer:
    """What a node has said, and when, by this machine's clock, it was asked and had answered."""

    facts: NodeFacts
    asked_s: float
    answered_s: float

    @property
    def skew_s(self) -> float:
        """How far its clock is ahead of ours, less what the journey may account for; 0 if that may
        be all of it."""
        middle = (self.asked_s + self.answered_s) / 2
        ahead, journey = self.facts.time_s - middle, (self.answered_s - self.asked_s) / 2
        return 0.0 if abs(ahead) <= journey else ahead - (journey if ahead > 0 else -journey)


@dataclass(frozen=True)
class Silent:
    """A node that Ray takes for alive and that has not answered.

    Attributes:
        why: what Ray says of it.
    """

    node: str
    why: str


@dataclass(frozen=True)
class _Time:
    """A node's clock, and when, by ours, it was asked and had answered."""

    asked_s: float
    its_s: float
    answered_s: float

    @property
    def journey_s(self) -> float:
        return self.answered_s - self.asked_s


def ask_all(
    storage: str | None, timeout_s: float = ANSWER_TIMEOUT_S
) -> tuple[list[Answer], list[Silent]]:
    """Ask each living node of the connected cluster.

    Args:
        storage: root of the cells' folders, which each node tries to write.
        timeout_s: what all of them together are waited for.

    Returns:
        Those that answered, and those that did not, each in Ray's order.
    """
    import ray

    nodes: Any = ray.nodes  # Ray leaves it untyped
    alive = {node["NodeID"]: node for node in nodes() if node["Alive"]}
    # In processes that end after it: torch holds GPU memory for as long as its process lives.
    facts: Any = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(node_facts)
    gpus = {name: node["Resources"].get("GPU", 0.0) for name, node in alive.items()}
    calls = {name: _there(facts, name).remote(storage, gpus[name]) for name in alive}
    said, trouble = gather(calls, timeout_s)
    times, late = _clocks(said)
    trouble |= late
    answers, silent = [], []
    for name, node in alive.items():
        address = node["NodeManagerAddress"]
        if name in trouble:
            silent.append(Silent(address, trouble[name]))
            continue
        own: NodeFacts = said[name][0]
        at = times[name]
        own = dataclasses.replace(own, node=f"{address} ({own.node})", time_s=at.its_s)
        answers.append(Answer(own, at.asked_s, at.answered_s))
    return answers, silent


def _clocks(nodes: Iterable[str]) -> tuple[dict[str, _Time], dict[str, str]]:
    """Each node's clock by the shortest of some journeys; and what became of those not heard of."""
    import ray

    clock: Any = ray.remote(num_cpus=0, max_retries=0)(_its_time_s)
    best: dict[str, _Time] = {}
    trouble: dict[str, str] = {}
    for _ in range(CLOCK_ROUNDS):
        asked, calls = dict[str, float](), dict[str, Any]()
        for name in nodes:
            asked[name] = time.time()
            calls[name] = _there(clock, name).remote()
        said, failed = gather(calls, CLOCK_TIMEOUT_S)
        found = {name: _Time(asked[name], its, at) for name, (its, at) in said.items()}
        for name, each in found.items():
            best[name] = min(best.get(name, each), each, key=lambda time: time.journey_s)
        trouble |= failed
        nodes = list(found)
    return best, trouble


def gather(
    calls: Mapping[str, Any], timeout_s: float
) -> tuple[dict[str, tuple[Any, float]], dict[str, str]]:
    """Wait for calls, for all together no longer than a time.

    Returns:
        What came of each and when, by this machine's clock; and why nothing came of the others.
    """
    import ray
    from ray.exceptions import RayError

    names = {call: name for name, call in calls.items()}
    said: dict[str, tuple[Any, float]] = {}
    failed: dict[str, str] = {}
    until, left = time.monotonic() + timeout_s, list(names)
    while left:
        ready, left = ray.wait(left, timeout=max(0.0, until - time.monotonic()))
        if not ready:
            return said, failed | {names[call]: f"nothing in {timeout_s:g} s" for call in left}
        now = time.time()
        for call in ready:
            try:
                said[names[call]] = ray.get(call), now
            except RayError as error:
                failed[names[call]] = _words(error)
    return said, failed


def _there(task: Any, node: str) -> Any:
    """A task that runs on one node or not at all."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def _its_time_s() -> float:
    return time.time()  # Ray takes no built-in function


def _words(error: Exception) -> str:
    """What Ray says in one line; of an error of the task itself, without the traceback."""
    from ray.exceptions import RayTaskError

    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]
