"""Why worker processes ended: by themselves, with their node, or for want of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymm.training.memory import is_killed_for_memory, oom_kills
from raymm.training.task import Cause

ACTOR_GONE: Final = (RayActorError, OutOfMemoryError)
"""What a call to an actor raises whose process is gone, killed by Ray for its node's memory or not."""
NODE_DEATHS: Final = ("its node has died", "node was terminated", "node is dead")
"""What Ray says of an actor whose node went."""
KILLED_BY_THE_SYSTEM: Final = "the system killed a process of its node for want of memory"
ANSWER_TIMEOUT_S: Final = 10.0
"""How long a node whose workers ended may take to say what it has counted."""


def cause_of(errors: Sequence[Exception]) -> Cause:
    """Why a group's processes ended: any lost node explains the errors of those that it left alone.

    A process whose node has died is at first only out of reach; one that dies by itself is known to
    be dead, because its node says so.
    """
    own = [getattr(error, "health_check_failure", error) for error in errors]
    if any(isinstance(each, ActorUnavailableError) or is_node_death(each) for each in own):
        return "node"
    return "memory" if any(map(is_killed_for_memory, own)) else "crash"


def killed_by_the_system(before: Mapping[str, int]) -> bool:
    """Whether nodes have killed processes for want of memory since their workers last said how many.

    The signal itself does not tell. A worker that crashes by itself, in the seconds in which its node
    kills another one for its memory, is taken for killed, too: it is trained again all the same.

    Args:
        before: how many each node had killed, by its id.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(oom_kills)
    for node, count in before.items():
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        try:
            call = task.options(scheduling_strategy=there).remote()
            if ray.get(call, timeout=ANSWER_TIMEOUT_S) > count:
                return True
        except RayError:
            continue  # the node is gone, or too busy to answer: then this is not known
    return False


def is_node_death(error: Exception) -> bool:
    """Whether a worker's process ended because its node went."""
    if not isinstance(error, RayActorError):
        return False
    return error.preempted or any(words in str(error) for words in NODE_DEATHS)


def first_line(error: Exception) -> str:
    """Type and first line of an error, which may carry pages of other processes' tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
