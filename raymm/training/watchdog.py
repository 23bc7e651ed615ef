"""Which worker processes hang: judged by the progress of their steps, not by how long a cell takes.

A step that waits for another rank takes as long as that rank does, so ranks are judged together: a
group hangs when none of its ranks that are at work has moved for longer than its limit, and those
that are the furthest behind are what the others wait for. A process that gives no sign at all (it is
stopped, or its machine is) hangs by itself, even if it has not yet said that it has taken up the cell
its group was dealt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass, replace

BLIND_S = 15.0
"""A watchdog that has not looked for so long was itself stopped, and begins anew."""


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """When a rank that stands still is taken to hang.

    Attributes:
        floor_s: never sooner than after so many seconds without progress.
        factor: nor sooner than after so many times the rank's own longest step; see `Pulse`.
        beat_s: seconds between two signs of life.
    """

    floor_s: float = 120.0
    factor: float = 10.0
    beat_s: float = 2.0


@dataclass(frozen=True)
class Beat:
    """A process's sign of life.

    Attributes:
        node, pid: where it runs.
        cell: key of the cell it works on; empty if it waits for one.
        count: pieces of work done on it.
        still_s: seconds since the last progress.
        limit_s: how many are too many.
        oom_kills: processes that the system has killed on its node for want of memory, so far.
    """

    node: str
    pid: int
    cell: str = ""
    count: int = 0
    still_s: float = 0.0
    limit_s: float = 0.0
    oom_kills: int = 0


@dataclass(frozen=True)
class Hung:
    """A process that has to be killed for the others to go on."""

    node: str
    pid: int
    reason: str


class Watchdog:
    """Knows the processes of all groups by their signs of life.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked = clock()
        self._beats: dict[str, dict[int, tuple[float, Beat]]] = {}

    def beat(self, incarnation: str, rank: int, beat: Beat) -> None:
        """A process of a group gives a sign of life."""
        self._beats.setdefault(incarnation, {})[rank] = (self._clock(), beat)

    def nodes(self, incarnation: str) -> frozenset[str]:
        """The nodes that the processes of a group run on."""
        return frozenset(beat.node for _, beat in self._beats.get(incarnation, {}).values())

    def oom_kills(self, incarnation: str) -> dict[str, int]:
        """What the processes of a group have last said of their nodes."""
        beats = self._beats.get(incarnation, {}).values()
        return {beat.node: beat.oom_kills for _, beat in beats}

    def forget(self, incarnation: str) -> None:
        """A group's processes are gone."""
        self._beats.pop(incarnation, None)

    def hung(self, at_work: Set[str]) -> dict[str, list[Hung]]:
        """The processes that hang, by incarnation of their groups.

        Each is named once, and again after as long if it is still there: the word may be lost.

        Args:
            at_work: incarnations of the groups that have a cell. Of others nothing is expected.
        """
        now = self._clock()
        blind, self._looked = now - self._looked > BLIND_S, now
        if blind:
            self._beats = {name: _afresh(beats, now) for name, beats in self._beats.items()}
            return {}
        found = {name: _hung(self._beats.get(name, {}), now) for name in at_work}
        found = {name: hung for name, hung in found.items() if hung}
        for name in found:
            self._beats[name] = _afresh(self._beats[name], now)
        return found


def _afresh(beats: dict[int, tuple[float, Beat]], now: float) -> dict[int, tuple[float, Beat]]:
    """As if all had just given a sign of life, and moved."""
    return {rank: (now, replace(beat, still_s=0.0)) for rank, (_, beat) in beats.items()}


def _hung(beats: dict[int, tuple[float, Beat]], now: float) -> list[Hung]:
    """Those of one group that hang."""
    heard = {rank: (now - at, beat) for rank, (at, beat) in beats.items()}
    silent = {r: (s, beat) for r, (s, beat) in heard.items() if s > beat.limit_s}
    if silent:
        return [
            Hung(beat.node, beat.pid, f"rank {rank} has given no sign of life for {s:.0f} s")
            for rank, (s, beat) in silent.items()
        ]
    busy = {rank: (s, beat) for rank, (s, beat) in heard.items() if beat.cell}
    if not busy or any(s + beat.still_s <= beat.limit_s for s, beat in busy.values()):
        return []
    behind = min(beat.count for _, beat in busy.values())
    return [
        Hung(
            beat.node,
            beat.pid,
            f"rank {rank} has stood still for {s + beat.still_s:.0f} s after {beat.count} steps",
        )
        for rank, (s, beat) in busy.items()
        if beat.count == behind
    ]
