"""Why worker processes ended: by themselves, with their node, or for want of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError

from raymm.training.memory import is_killed_for_memory
from raymm.training.task import Cause

ACTOR_GONE: Final = (RayActorError, OutOfMemoryError)
"""What a call to an actor raises whose process is gone, killed by Ray for its node's memory or not."""
NODE_DEATHS: Final = ("its node has died", "node was terminated", "node is dead")
"""What Ray says of an actor whose node went."""


def cause_of(errors: Sequence[Exception]) -> Cause:
    """Why a group's processes ended: any lost node explains the errors of those that it left alone.

    A process whose node has died is at first only out of reach; one that dies by itself is known to
    be dead, because its node says so.
    """
    own = [getattr(error, "health_check_failure", error) for error in errors]
    if any(isinstance(each, ActorUnavailableError) or is_node_death(each) for each in own):
        return "node"
    return "memory" if any(map(is_killed_for_memory, own)) else "crash"


def is_node_death(error: Exception) -> bool:
    """Whether a worker's process ended because its node went."""
    if not isinstance(error, RayActorError):
        return False
    return error.preempted or any(words in str(error) for words in NODE_DEATHS)


def first_line(error: Exception) -> str:
    """Type and first line of an error, which may carry pages of other processes' tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
