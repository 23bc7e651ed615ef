"""Where cells and worker groups stand: the dispatcher's books."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from raymm.training.task import Outcome, Task


@dataclass(eq=False)
class Entry:
    """A cell and all that is known of it.

    Attributes:
        attempts: how often a group took it up.
        crashes: for each time that its processes ended without it being done, the nodes they ran
            on. Those of a node that was lost do not count.
        holder: the incarnation that trains it.
        excused: whether the next end of its processes is for a reason that is dealt with.
        rests_until: when it may be taken up again, in seconds of the monotonic clock.
    """

    task: Task
    epochs: list[Mapping[str, float]] = field(default_factory=list)
    attempts: int = 0
    crashes: list[frozenset[str]] = field(default_factory=list)
    holder: str = ""
    excused: bool = False
    started_at: float = 0.0
    rests_until: float = 0.0
    last_reason: str = ""
    last_details: str = ""
    stopping: bool = False
    outcome: Outcome | None = None

    def ended_otherwise(self, task: Task) -> bool:
        """Whether it has ended, but not with what the task asks for."""
        if self.outcome is None:
            return False
        return self.outcome.status == "stopped" or self.task.score != task.score

    def own_crashes(self, lost: Set[str]) -> int:
        """How often its processes ended while the nodes they ran on stayed."""
        return sum(1 for nodes in self.crashes if not nodes & lost)


@dataclass
class Group:
    """A worker group. Each time its processes start anew they are another incarnation."""

    incarnation: str = ""
    dealt: list[Task | None] = field(default_factory=list)
    current: Entry | None = None
    idle_deaths: int = 0
    gone: bool = False

    def release(self) -> Entry | None:
        """The cell the group was training, which is no longer its own; None if it was idle."""
        entry, self.current = self.current, None
        if entry is None or entry.outcome is not None:
            return None
        entry.holder = ""
        return entry
