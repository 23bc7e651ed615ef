"""What the nodes of a cluster say of themselves, and what of it does not fit together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raymm.doctor.facts import NodeFacts, node_facts
from raymm.doctor.finding import Finding, fine, note, wrong

ANSWER_TIMEOUT_S = 120.0
MOST_SKEW_S = 1.0
"""Clocks further apart make a sweep's times, and the order of its checkpoints, hard to read."""
REFUSED_SKEW_S = 300.0
"""S3 refuses requests whose time is 15 minutes off; this is well before."""
LEAST_SHARED_MEMORY_GIB = 1.0


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


def ask_all(storage: str | None) -> list[Answer]:
    """Ask each living node of the connected cluster.

    Args:
        storage: root of the cells' folders, which each node tries to write.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes: Any = ray.nodes  # Ray leaves it untyped
    facts: Any = ray.remote(num_cpus=0, max_retries=0)(node_facts)
    clock: Any = ray.remote(num_cpus=0, max_retries=0)(_its_time_s)
    answers = []
    for node in (each for each in nodes() if each["Alive"]):
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        gpus = node["Resources"].get("GPU", 0.0)
        call = facts.options(scheduling_strategy=there).remote(storage, gpus)
        said: NodeFacts = ray.get(call, timeout=ANSWER_TIMEOUT_S)
        # The first task starts a process and imports torch. This one is only a journey.
        asked = time.time()
        its_time = ray.get(clock.options(scheduling_strategy=there).remote())
        name = f"{node['NodeManagerAddress']} ({said.node})"
        said = dataclasses.replace(said, node=name, time_s=its_time)
        answers.append(Answer(said, asked, time.time()))
    return answers


def _its_time_s() -> float:
    return time.time()  # Ray takes no built-in function


def check_versions(driver: NodeFacts, answers: Sequence[Answer]) -> list[Finding]:
    """Whether all nodes have what the driver has."""
    found = []
    for facts in (each.facts for each in answers):
        names = sorted(driver.versions.keys() | facts.versions.keys())
        differ = [
            f"{name} {facts.versions.get(name, 'missing')} (driver: "
            f"{driver.versions.get(name, 'missing')})"
            for name in names
            if facts.versions.get(name) != driver.versions.get(name)
        ]
        if differ:
            found.append(
                wrong(
                    "versions",
                    f"{facts.node} has {', '.join(differ)}",
                    "Start all nodes from one image (cluster/Dockerfile), and submit with "
                    "--working-dir ., which gives all nodes the driver's source.",
                )
            )
    return found or [fine("versions", f"{len(answers)} node(s) have what the driver has")]


def check_clocks(answers: Sequence[Answer]) -> list[Finding]:
    """Whether the clocks agree."""
    found = []
    for answer in answers:
        if abs(answer.skew_s) > MOST_SKEW_S:
            how = "ahead of" if answer.skew_s > 0 else "behind"
            text = (
                f"the clock of {answer.facts.node} is {abs(answer.skew_s):.1f} s {how} the driver's"
            )
            remedy = "Have both synchronise it (chrony, systemd-timesyncd)."
            bad = abs(answer.skew_s) > REFUSED_SKEW_S
            found.append((wrong if bad else note)("clocks", text, remedy))
    return found or [fine("clocks", f"within {MOST_SKEW_S:g} s of the driver's")]


def check_writable(storage: str, answers: Sequence[Answer]) -> list[Finding]:
    """Whether each node can write the storage."""
    found = [
        wrong("storage", f"{each.facts.node}: {each.facts.storage}", "")
        for each in answers
        if each.facts.storage
    ]
    return found or [fine("storage", f"{len(answers)} node(s) can write {storage}")]


def check_shared_memory(answers: Sequence[Answer]) -> list[Finding]:
    """Whether there is room for Ray's object store and NCCL's buffers."""
    small = [
        each.facts for each in answers if each.facts.shared_memory_gib < LEAST_SHARED_MEMORY_GIB
    ]
    return [
        wrong(
            "shared memory",
            f"/dev/shm of {facts.node} has {facts.shared_memory_gib * 1024:.0f} MiB",
            "Give the container more: docker run --shm-size=16g; on Kubernetes an emptyDir of "
            "medium Memory at /dev/shm.",
        )
        for facts in small
    ]
