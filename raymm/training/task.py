"""What is asked of worker groups, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from raymm.config import CellConfig

Score: TypeAlias = Literal["validation", "test"]
Status: TypeAlias = Literal["finished", "failed", "stopped"]
Cause: TypeAlias = Literal["crash", "node", "memory"]
"""Why worker processes ended: by themselves, with the node they ran on, or for want of memory."""


@dataclass(frozen=True)
class Task:
    """A cell to train.

    Attributes:
        score: the split whose metrics are asked for; with "validation" the test split is not
            touched.
        discard: set by the dispatcher: do not train it, leave nothing of it in the storage.
        micro_batches: set by the dispatcher after memory ran out: parts that each rank's share of
            a step is cut into. The gradient stays the same.
    """

    key: str
    cell: CellConfig
    score: Score = "test"
    discard: bool = False
    micro_batches: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
        status: "stopped" where `Dispatcher.stop` ended it.
        metrics: final metrics; empty unless finished.
        reason: one line, "Type: message"; empty when finished.
        details: the end of the traceback where there is one.
        attempts: how often a group took the cell up.
        seconds: from the first time it was taken up to the end.
        micro_batches: parts that each step was cut into at the end, for want of memory.
    """

    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    details: str = ""
    attempts: int = 0
    seconds: float = 0.0
    micro_batches: int = 1


@dataclass(frozen=True)
class Sighting:
    """What a watcher sees of a cell: epochs that are new to it, and the outcome if there is one."""

    started: bool
    epochs: tuple[Mapping[str, float], ...]
    outcome: Outcome | None
