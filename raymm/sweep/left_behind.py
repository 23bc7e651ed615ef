"""What drivers that died have left unsent in the results folder: recorded by the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from raymm.sweep.claims import Claims
from raymm.sweep.known import Known, is_finished
from raymm.sweep.outbox import Message, Outbox, left_behind, read
from raymm.tracking import RunRecord, StoreAwayError

PATIENCE_S = 120.0
"""How long to wait for the store to take what an earlier driver has left behind."""


class LeftBehind:
    """Records what dead drivers of a sweep have left.

    Args:
        folder: of the sweep's results.
        driver: id of this one.
        known: of the cells that are this driver's.
        outbox: of this driver.
        mine: keys of the cells that are this driver's; those that are taken over are added.
    """

    def __init__(
        self,
        folder: Path,
        driver: str,
        claims: Claims,
        known: Known,
        outbox: Outbox,
        mine: set[str],
    ) -> None:
        self._folder, self._driver, self._mine = folder, driver, mine
        self._claims, self._known, self._outbox = claims, known, outbox

    def send(self) -> bool:
        """Record what is there; whether there was anything.

        All cells of a file are claimed for that: a search claims its cells a few at a time, and
        may never ask for some of them again. What the file has on cells that another driver has is
        dropped: that one goes on from the checkpoint in storage, which has the whole curve.

        Raises:
            StoreAwayError: the store has not taken it in time.
        """
        found = False
        for driver, file in left_behind(self._folder):
            if driver == self._driver or not self._claims.is_dead(driver):
                continue
            messages = [message for message in read(file) if "key" in message]
            keys = self._claim(messages)
            for message in messages:
                if message["key"] in keys:
                    self._put(message)
                    found = True
            file.unlink(missing_ok=True)
        if found and not self._outbox.flush(PATIENCE_S):
            raise StoreAwayError(self._outbox.trouble)
        return found

    def take_up(self, keys: Iterable[str], runs: Mapping[str, RunRecord]) -> None:
        """Cells are this driver's."""
        wanted = set(keys)
        self._known.take_up(wanted, runs)
        self._mine |= wanted

    def _claim(self, messages: Sequence[Message]) -> set[str]:
        """Make the cells of messages this driver's, but for those that are finished.

        Of these only such are taken as the messages leave finished: with more metrics.
        """
        keys = {message["key"] for message in messages}
        runs = self._known.runs_of(keys) if keys else {}
        last = {m["key"]: m.get("status") for m in messages if m["do"] in ("start", "end")}
        wanted = {
            key for key in keys if not is_finished(runs.get(key)) or last.get(key) == "FINISHED"
        }
        taken = self._claims.take(wanted)
        for driver in taken.dead:
            self._claims.bury(driver)
        self.take_up(taken.mine - self._mine, runs)
        return taken.mine

    def _put(self, message: Message) -> None:
        """Put a message of a dead driver, less what the store has."""
        key = message["key"]
        if message["do"] == "points":
            points = self._known.new_in_curve(key, message["points"])
            self._outbox.put({**message, "points": points})
        elif message["do"] == "end":
            points = self._known.new_finals(key, message["points"])
            self._outbox.put({**message, "points": points})
        else:
            self._outbox.put(message)
