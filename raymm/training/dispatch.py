"""Who trains which cell: the queue between those who submit cells and the groups that train them.

One `Dispatcher` lives in an actor. All its methods are coroutines of one event loop, so that
hundreds of callers may wait in it at once. It knows nothing of Ray and of torch.

    submit --> queue --> next_task (each rank of a group) --> report, finish or fail --> watch
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from raymm.training.standing import Entry, Group
from raymm.training.task import Cause, Outcome, Score, Sighting, Status, Task
from raymm.training.watchdog import Beat, Hung, Watchdog

__all__ = ["Dispatcher", "Handle", "Outcome", "Score", "Sighting", "Status", "Task"]

Handle: TypeAlias = Any
"""Handle of the dispatcher's actor, whose methods are called by `.remote(...)`."""
STOPPED = "stopped before its last epoch"
MICRO_BATCHES = 8
"""Parts of a step after memory ran out. There is one more try, so it has to help."""
PAUSES_S = (10.0, 30.0)
"""Before a cell is taken up again whose storage or data could not be reached: they may come back."""


class Dispatcher:
    """Deals cells to worker groups and carries what they report to whoever watches.

    A cell whose group loses a process goes back to the head of the queue: whichever group is free
    first goes on with it.

    Args:
        groups: how many worker groups there are.
        expected: cells that will be submitted in all; a group that asks for more is sent home. None
            if it is not known: groups then wait until `close`.
        max_attempts: how often a cell's worker processes may end on it before it counts as failed,
            and how often a group may die without ever taking up a cell before it is given up.
            Processes that end because their node is lost do not count.
        pauses_s: before the second attempt, the third and so on, where a process goes on after an
            error that may pass.
    """

    def __init__(
        self,
        groups: int,
        expected: int | None,
        max_attempts: int,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._groups = [Group() for _ in range(groups)]
        self._submitted = 0
        self._expected, self._max_attempts = expected, max_attempts
        self._pauses_s = pauses_s
        self._entries: dict[str, Entry] = {}
        self._queue: deque[Entry] = deque()
        self._watchdog = Watchdog()
        self._lost: set[str] = set()
        self._closed = False
        self._no_workers = ""
        self._changed = asyncio.Condition()
        self._alarms: set[asyncio.Future[None]] = set()

    async def submit(self, task: Task) -> None:
        """Queue a cell; one that is known, be it waiting, running or done, is not queued again.

        But one that was stopped, or that ended scored on another split than is now asked for, is
        queued anew: its epochs begin again for those who watch.
        """
        async with self._changed:
            known = self._entries.get(task.key)
            if known is None or known.ended_otherwise(task):
                entry = self._entries[task.key] = Entry(task)
                self._submitted += 1
                self._queue.append(entry)
                self._fail_all_without_workers()
                self._changed.notify_all()

    async def stop(self, key: str, discard: bool = False) -> None:
        """End a cell before its time: after the epoch it is at, or at once if it is not begun.

        Its outcome is "stopped", unless it has ended before it heard of it.

        Args:
            discard: leave nothing of it in the storage; without it the last checkpoint stays, and
                the cell can go on from there when it is submitted again.
        """
        async with self._changed:
            entry = self._entries[key]
            if entry.outcome is not None:
                return
            entry.stopping = True
            entry.task = replace(entry.task, discard=discard)
            if entry in self._queue and not discard:
                self._queue.remove(entry)
                self._settle(entry, "stopped", STOPPED)

    async def next_task(self, group: int, incarnation: str, number: int) -> Task | None:
        """The `number`-th task of this incarnation of a group: the same for each rank that asks.

        Waits until there is one. None tells the group to end.
        """
        state = self._groups[group]
        async with self._changed:
            if number == 0 and state.incarnation != incarnation:
                self._release(state)
                self._watchdog.forget(state.incarnation)
                state.incarnation, state.dealt = incarnation, []
                self._changed.notify_all()  # those who wait for a dead incarnation leave
            while state.incarnation == incarnation:
                if number < len(state.dealt):
                    return state.dealt[number]
                if self._deal(state):
                    self._changed.notify_all()
                else:
                    await self._changed.wait()
            return None

    def _deal(self, state: Group) -> bool:
        """Give the group its next task, or None at the end; False if it has to wait."""
        if self._closed:
            return self._send_home(state)
        if state.current is not None and state.current.outcome is None:
            return False  # another rank is still at it
        now = time.monotonic()
        for entry in [each for each in self._queue if each.rests_until <= now]:
            self._queue.remove(entry)
            if entry.own_crashes(self._lost) < self._max_attempts:
                return self._take_up(state, entry)
            self._crashed_too_often(entry)
        if self._queue:
            return False  # those that are left rest: see `_rest`
        all_came = self._expected is not None and self._submitted >= self._expected
        return all_came and self._send_home(state)

    def _send_home(self, state: Group) -> bool:
        state.dealt.append(None)
        state.gone = True
        return True

    def _take_up(self, state: Group, entry: Entry) -> bool:
        entry.attempts += 1
        entry.holder, entry.excused = state.incarnation, False
        entry.last_reason = entry.last_details = ""
        entry.started_at = entry.started_at or time.monotonic()
        state.current, state.idle_deaths = entry, 0
        state.dealt.append(entry.task)
        return True

    async def report(self, key: str, holder: str, epoch: Mapping[str, float]) -> bool:
        """Take an epoch's metrics ("epoch" and whatever was measured); False: stop training.

        Args:
            holder: the incarnation that reports. What a group has lost it can no longer report on.
        """
        async with self._changed:
            entry = self._entries[key]
            if entry.holder != holder:
                return False
            if not entry.epochs or epoch["epoch"] > entry.epochs[-1]["epoch"]:
                entry.epochs.append(epoch)  # else told again by a group that goes on with it
                self._changed.notify_all()
            return not (self._closed or entry.stopping)

    async def discards(self, key: str, holder: str) -> bool:
        """Whether the holder of a cell, whose training has stopped, is to remove what it left."""
        entry = self._entries[key]
        return entry.holder == holder and entry.task.discard

    async def finish(self, key: str, holder: str, metrics: Mapping[str, float]) -> None:
        """A training has ended, with metrics unless it was told to stop.

        One that all cells were told by `close` stays open.
        """
        async with self._changed:
            entry = self._entries[key]
            if entry.holder != holder:
                return
            if entry.stopping and not metrics:
                self._settle(entry, "stopped", STOPPED)
            elif not self._closed:
                self._settle(entry, "finished", metrics=metrics)

    async def fail(
        self,
        key: str,
        holder: str,
        reason: str,
        details: str,
        kind: Literal["final", "again", "memory"],
        goes_on: bool = False,
    ) -> None:
        """An exception ended a cell's training on some rank.

        Args:
            kind: "final" if training it again would end the same; "memory" if there was not enough
                of it, so that the cell gets one more try with smaller parts of a step. Else it is
                tried again, and the reason is kept for when the attempts run out.
            goes_on: whether the process takes further cells; else its group is about to end.
        """
        async with self._changed:
            entry = self._entries[key]
            if entry.holder != holder:
                return
            entry.last_reason, entry.last_details = reason, details
            if kind == "memory":
                self._ran_out_of_memory(entry)
            elif kind == "final":
                self._settle(entry, "failed", reason, details)
            if goes_on:
                for state in self._groups:
                    if state.incarnation == holder:
                        self._release(state, excused=kind != "again")
                if kind == "again":
                    self._rest(entry)
                self._changed.notify_all()

    def _rest(self, entry: Entry) -> None:
        """Leave a cell that is queued alone for a while, unless it is not to be tried again."""
        crashes = entry.own_crashes(self._lost)
        if not self._pauses_s or crashes >= self._max_attempts:
            return
        pause_s = self._pauses_s[min(crashes, len(self._pauses_s)) - 1]
        entry.rests_until = time.monotonic() + pause_s
        alarm = asyncio.ensure_future(self._wake_after(pause_s))
        self._alarms.add(alarm)  # of those that nobody holds the loop may lose some
        alarm.add_done_callback(self._alarms.discard)

    async def _wake_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds + 0.01)  # a sleep may end a tick of the clock early
        async with self._changed:
            self._changed.notify_all()

    def _ran_out_of_memory(self, entry: Entry) -> None:
        if entry.excused:
            return  # another rank has said so already
        if entry.task.micro_batches == 1:
            entry.task = replace(entry.task, micro_batches=MICRO_BATCHES)
            entry.excused = True
            return
        reason = (
            f"out of memory, also with each step in {entry.task.micro_batches} parts: "
            f"{entry.last_reason}"
        )
        self._settle(entry, "failed", reason, entry.last_details)

    async def group_died(self, group: int, reason: str, cause: Cause = "crash") -> bool:
        """Worker processes of a group are gone. False: do not start them again."""
        state = self._groups[group]
        async with self._changed:
            if state.current is None and cause != "node":
                state.idle_deaths += 1
            if state.idle_deaths >= self._max_attempts:
                self._give_up(state, reason)
            if state.current is not None and cause == "memory":
                # What other ranks said, that they have lost a peer, is not why.
                state.current.last_reason, state.current.last_details = reason, ""
                self._ran_out_of_memory(state.current)
            self._release(state, reason, excused=cause == "node")
            self._watchdog.forget(state.incarnation)
            self._changed.notify_all()
            return not state.gone

    async def group_lost(self, group: int, reason: str) -> None:
        """A group ended before its time and will not come back."""
        async with self._changed:
            state = self._groups[group]
            self._release(state, reason, excused=True)
            self._watchdog.forget(state.incarnation)
            self._give_up(state, reason)
            self._changed.notify_all()

    async def beat(self, incarnation: str, rank: int, beat: Beat) -> bool:
        """A worker process's sign of life; True if its node will soon go."""
        self._watchdog.beat(incarnation, rank, beat)
        return beat.node in self._lost

    async def oom_kills(self, group: int) -> dict[str, int]:
        """What the processes of a group have last said of their nodes, by node: see `Beat`."""
        return self._watchdog.oom_kills(self._groups[group].incarnation)

    async def look(self, lost: Set[str]) -> list[Hung]:
        """Processes that hang and have to be killed. Call it every few seconds.

        Args:
            lost: nodes that are gone, or will be soon.
        """
        self._lost |= lost
        at_work = {s.incarnation for s in self._groups if s.current and not s.current.outcome}
        found = self._watchdog.hung(at_work)
        for state in self._groups:
            hung = found.get(state.incarnation, [])
            if hung and state.current is not None:
                state.current.last_reason = "; ".join(each.reason for each in hung)
        return [each for hung in found.values() for each in hung]

    def _release(self, state: Group, reason: str = "", excused: bool = False) -> None:
        """The group's processes no longer train its cell: queue it first, if it is not done."""
        entry = state.release()
        if entry is not None:
            entry.last_reason = entry.last_reason or reason
            if not (excused or entry.excused):
                entry.crashes.append(self._watchdog.nodes(state.incarnation))
            self._queue.appendleft(entry)

    def _give_up(self, state: Group, reason: str) -> None:
        state.gone = True
        if all(group.gone for group in self._groups):
            self._no_workers = reason
            self._fail_all_without_workers()

    def _fail_all_without_workers(self) -> None:
        while self._queue and self._no_workers:
            reason = f"no worker group could be kept running: {self._no_workers}"
            self._settle(self._queue.popleft(), "failed", reason)

    def _crashed_too_often(self, entry: Entry) -> None:
        why = entry.last_reason or "no reason known"
        times = entry.own_crashes(self._lost)
        reason = f"its workers broke off or ended {times} times while training it; last: {why}"
        self._settle(entry, "failed", reason, entry.last_details)

    def _settle(
        self,
        entry: Entry,
        status: Status,
        reason: str = "",
        details: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        if entry.outcome is None:  # the first word counts: the others are its group's collapse
            seconds = time.monotonic() - entry.started_at if entry.started_at else 0.0
            entry.outcome = Outcome(
                status,
                metrics or {},
                reason,
                details,
                entry.attempts,
                seconds,
                entry.task.micro_batches,
            )
        self._changed.notify_all()

    async def watch(self, key: str, seen: int, started: bool) -> Sighting:
        """Wait for news of a cell: its start, epochs after the first `seen`, or its outcome."""
        entry = self._entries[key]
        async with self._changed:
            await self._changed.wait_for(
                lambda: (
                    entry.outcome is not None
                    or len(entry.epochs) > seen
                    or (entry.attempts > 0 and not started)
                )
            )
            return Sighting(entry.attempts > 0, tuple(entry.epochs[seen:]), entry.outcome)

    async def close(self) -> None:
        """Deal no more cells, and stop those that are being trained after their epoch."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
