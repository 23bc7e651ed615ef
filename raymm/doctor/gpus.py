"""Whether the GPUs of a node can do what a sweep asks of them, and NCCL among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from raymm.doctor.facts import GpuFacts, NodeFacts
from raymm.doctor.finding import Finding, fine, note, wrong

CHECK = "GPUs"
MIG_ON, UNKNOWN = "Enabled", "[N/A]"


def check_gpus(nodes: Sequence[NodeFacts], may_come: bool = False) -> list[Finding]:
    """What is wrong with the GPUs of each node.

    Nodes are asked, each for itself; that they exchange over NCCL is not tried.

    Args:
        may_come: whether an autoscaler may bring nodes with GPUs.
    """
    found = [finding for facts in nodes for finding in _of_node(facts)]
    if found:
        return found
    gpus = [name for facts in nodes for name in facts.gpus.names]
    if not gpus and may_come:
        text = "no node with a GPU is up, so none was asked"
        return [note(CHECK, text, "Ask again while a sweep runs.")]
    if not gpus:
        return [fine(CHECK, "none: cells are trained on CPUs")]
    kinds = ", ".join(f"{gpus.count(kind)} x {kind}" for kind in sorted(set(gpus)))
    return [fine(CHECK, f"{kinds}: torch computes on them, and nothing speaks against NCCL")]


def _of_node(facts: NodeFacts) -> Iterator[Finding]:
    gpus, node = facts.gpus, facts.node
    if len(gpus.names) < max(len(gpus.driver), facts.gpus_promised):
        yield wrong(
            CHECK,
            f"{node} has {len(gpus.driver)} GPU(s), Ray deals out {facts.gpus_promised:g}, torch sees "
            f"{len(gpus.names)}{f': {gpus.trouble}' if gpus.trouble else ''}",
            "Give the container the GPUs (docker run --gpus all, nvidia.com/gpu), install a torch "
            "with CUDA, and a driver that is new enough for it.",
        )
    elif gpus.trouble:
        yield wrong(
            CHECK, f"{node}: torch cannot compute: {gpus.trouble}", "Look at nvidia-smi there."
        )
    yield from _unsupported(node, gpus)
    yield from _for_nccl(node, gpus)
    for row in gpus.driver:
        if len(row) == 3 and row[2].isdigit() and int(row[2]):
            yield wrong(
                CHECK,
                f"{node}: {row[0]} has {row[2]} memory error(s) that could not be corrected",
                "Take the machine out: results on it cannot be trusted.",
            )


def _unsupported(node: str, gpus: GpuFacts) -> Iterator[Finding]:
    for name, capability in set(zip(gpus.names, gpus.capabilities, strict=True)):
        if not runs_on(gpus.built_for, capability):
            yield wrong(
                CHECK,
                f"{node}: this torch has no code for a {name} (compute capability {capability}; it "
                f"has {' '.join(gpus.built_for) or 'none'})",
                "Install a torch that was built for it.",
            )


def runs_on(built_for: Sequence[str], capability: str) -> bool:
    """Whether code for some architectures runs on a GPU.

    Binary code (sm_86) runs on its own major version from its minor version on; intermediate code
    (compute_90) on all that are newer.
    """
    major, minor = (int(part) for part in capability.split("."))
    for each in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", each)
        if match is None:
            continue
        kind, its = match[1], (int(match[2]), int(match[3]))
        if (kind == "sm" and its[0] == major and its[1] <= minor) or (
            kind == "compute" and its <= (major, minor)
        ):
            return True
    return False


def _for_nccl(node: str, gpus: GpuFacts) -> Iterator[Finding]:
    if len(gpus.names) > 1 and not gpus.nccl:
        yield wrong(
            CHECK,
            f"{node}: torch has no NCCL, so a cell cannot use several GPUs",
            "Install torch's CUDA build for Linux, or train with --workers-per-cell 1.",
        )
    if any(len(row) > 1 and row[1] == MIG_ON for row in gpus.driver):
        yield wrong(
            CHECK,
            f"{node}: GPUs are cut into MIG instances, over which NCCL cannot exchange",
            "Train with --workers-per-cell 1, or turn MIG off (nvidia-smi -mig 0).",
        )
    if len(set(gpus.names)) > 1:
        yield note(
            CHECK,
            f"{node} has GPUs of several kinds: {', '.join(sorted(set(gpus.names)))}",
            "A cell with several workers is as slow as the slowest. Use --workers-per-cell 1.",
        )
    if gpus.apart:
        pairs = ", ".join(f"{a}-{b}" for a, b in gpus.apart)
        yield note(
            CHECK,
            f"{node}: GPUs {pairs} reach each other through the CPU's memory only",
            "NCCL works, but slower than over NVLink; nothing to mend on machines such as g5.",
        )
