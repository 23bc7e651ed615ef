"""What of all that nodes say of themselves does not fit together, or falls short."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.doctor.asking import Answer, Silent
from raymm.doctor.facts import NodeFacts
from raymm.doctor.finding import Finding, fine, note, wrong

MOST_SKEW_S = 1.0
"""Clocks further apart make a sweep's times, and the order of its checkpoints, hard to read."""
REFUSED_SKEW_S = 300.0
"""S3 refuses requests whose time is 15 minutes off; this is well before."""
LEAST_SHARED_MEMORY_GIB = 1.0


def check_answered(answers: Sequence[Answer], silent: Sequence[Silent]) -> list[Finding]:
    """Whether each node that Ray takes for alive has answered."""
    found = [
        wrong(
            "nodes",
            f"{each.node} did not answer: {each.why}",
            "Look at its logs (ray logs), and whether torch is there. If its machine was taken back, "
            "another comes: ask again then.",
        )
        for each in silent
    ]
    return found or [fine("nodes", f"{len(answers)} answered")]


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
