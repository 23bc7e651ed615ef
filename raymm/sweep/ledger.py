"""The ledger: what every cell of every sweep has come to, in MLflow.

One experiment holds a parent run for each sweep and one run for each cell, found by the tag
`raymm.cell_key`: whatever happens to a cell, it has one run. Who writes it is settled in
`raymm.sweep.claims`; what is to be written goes through `raymm.sweep.outbox`. Epoch curves are logged
under their names with step = epoch, each step once. Final metrics have their names too, and where a
curve has the name already `final/<name>`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

from raymm.config import to_dict
from raymm.errors import TrackingError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.claims import Claims
from raymm.sweep.delivery import Delivery
from raymm.sweep.drivers import PACE, Driver, Pace, Watch, who
from raymm.sweep.known import Known, is_finished
from raymm.sweep.leading import lead
from raymm.sweep.left_behind import LeftBehind
from raymm.sweep.outbox import RETRY_S, Message, Outbox
from raymm.sweep.tags import (
    CURVE,
    DRIVER,
    EPOCH,
    KIND,
    PARENT,
    PART_OF,
    REASON,
    STATUS_OF,
    SWEEP,
    cell_tags,
    commit_tag,
    condition_tags,
    final_points,
    history_tag,
    params,
    run_name,
)
from raymm.tracking import RunRecord, Store, StoreAwayError, ui_command

LAST_WORDS_S = 5.0
"""How long a driver that ends before its time waits for the store to hear of it."""


@dataclass(frozen=True)
class Granted:
    """What a driver that asked for cells got.

    Attributes:
        mine: cells that are this driver's to train.
        ended: results of those that have ended: here before, or with another driver that lives.
        elsewhere: cells that another driver has, and who that is, by key.
    """

    mine: list[Cell]
    ended: dict[str, CellResult]
    elsewhere: dict[str, str]


class Ledger:
    """The cells of one data set in an MLflow store, and one driver's part in it.

    All methods raise TrackingError where the store cannot be used. Nothing is written before
    `open_sweep`. Use as a context manager: what is open when an error leaves it is ended.

    Args:
        uri: MLflow tracking URI; None for SQLite and an artifact folder under `mlruns/`.
        dataset: name of the data set, as results show it.
        artifacts: folder or address for MLflow's artifacts, if the ledger is made.

    Raises:
        TrackingError: a server does not answer; said within seconds.
    """

    def __init__(
        self,
        uri: str | None,
        dataset: str,
        *,
        artifacts: str | None = None,
        pace: Pace = PACE,
        retry_s: float = RETRY_S,
    ) -> None:
        self.store, self.dataset = Store(uri, artifacts), dataset
        self._pace, self._retry_s = pace, retry_s
        self._open: _Open | None = None
        self._known = Known(self.store, dataset)
        self._mine: set[str] = set()
        self._begun: dict[str, Cell] = {}
        self.tell: Callable[[], Mapping[str, str]] = dict
        """What each heartbeat says besides, as tags of the driver's record."""

    @property
    def ui_command(self) -> str:
        """The one command that opens what was recorded in a browser; an address for a server."""
        return ui_command(self.store.uri)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon(f"the sweep has ended early: {kind.__name__}" if kind else "")

    # Reading

    def seen(self, cells: Iterable[Cell]) -> dict[str, RunRecord]:
        """The runs that cells have, by cell key. Writes nothing."""
        return self._known.runs_of({cell.key for cell in cells})

    def finished(
        self, cells: Sequence[Cell], runs: Mapping[str, RunRecord] | None = None
    ) -> dict[str, CellResult]:
        """Those of the cells that are finished, by key, with their metrics and curves.

        Which splits they are scored on is for the caller to see.

        Args:
            runs: that the cells have, where they have been `seen` already.
        """
        runs = self.seen(cells) if runs is None else runs
        return {
            cell.key: self.result(cell, runs[cell.key])
            for cell in cells
            if cell.key in runs and runs[cell.key].status == "FINISHED"
        }

    # One sweep

    def open_sweep(
        self,
        name: str,
        settings: Mapping[str, object],
        *,
        folder: Path,
        storage: str,
        cells: Sequence[Cell],
        how: Mapping[str, str] = MappingProxyType({}),
        alone: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Become a driver, and find or make the sweep's parent run, under which new cells are put.

        Args:
            folder: of the sweep's results; what the store does not have yet is kept there.
            storage: root of the cells' folders.
            cells: all of the sweep that are known now.
            how: tags that say on what its cells are trained.
            alone: whether no other driver may run this sweep meanwhile; cells are shared, but not
                the choice of cells. Where one has it, this waits until that one's heartbeat has
                moved, or has stood still for `Pace.silent_s`.
            say: hears in one line what is waited for.

        Raises:
            SweepError: another driver, which lives, has it alone.
        """
        self.store.open()
        driver = Driver(
            self.store, name, tell=lambda: self.tell(), returned=self._ask_again, pace=self._pace
        )
        claims = Claims(self.store, driver.id, Watch(self.store, self._pace))
        sweep_key = f"sweep-{_digest(name)}"
        if alone:
            try:
                lead(self.store, claims, sweep_key, name, self._pace, say)
            except BaseException:
                with suppress(StoreAwayError):  # others find out by the heartbeat
                    driver.close("KILLED")
                raise
        parent, there = claims.run_of(sweep_key, name)
        delivery = Delivery(self.store, driver, claims, parent)
        outbox = Outbox(folder, driver.id, delivery, self._retry_s)
        left = LeftBehind(folder, driver.id, claims, self._known, outbox, self._mine)
        self._open = _Open(name, storage, parent, driver, claims, outbox, left, how)
        tags = {SWEEP: name, KIND: "sweep", DRIVER: driver.id, **how, **commit_tag()}
        described = bool(there and there.params)
        own = {} if described else params(settings)
        self.store.describe(parent, tags | condition_tags(cells), own)
        self.store.set_status(parent, "RUNNING")

    def claim(self, cells: Sequence[Cell]) -> Granted:
        """Make cells this driver's own, unless they have ended or another driver has them.

        What a driver that died has left unsent is recorded first.
        """
        now = self._opened()
        taken = now.claims.take([cell.key for cell in cells])
        for driver in taken.dead:
            now.claims.bury(driver)
        mine = {cell.key: cell for cell in cells if cell.key in taken.mine}
        runs = self.seen(cells)
        now.left.take_up(mine, runs)
        if now.left.send():
            runs = self.seen(cells)
        results = {
            cell.key: self.result(cell, runs[cell.key])
            for cell in cells
            if cell.key in runs and _has_ended(runs[cell.key], cell.key in mine)
        }
        # A search may have scored a cell on validation only; then it is there to be scored on test.
        ended = {
            key: each for key, each in results.items() if key not in mine or each.scored("test")
        }
        elsewhere = {key: of for key, of in taken.others.items() if key not in ended}
        names = {driver: who(self.store.get(driver)) for driver in set(elsewhere.values())}
        return Granted(
            mine=[cell for key, cell in mine.items() if key not in ended],
            ended=ended,
            elsewhere={key: names[driver] for key, driver in elsewhere.items()},
        )

    def mark_part_of_sweep(self, keys: Iterable[str]) -> None:
        """Say on the runs of cells, which another sweep may have made, that this one uses them."""
        now = self._opened()
        new = [key for key in keys if now.name not in self._known.used_by.get(key, ())]
        if new:
            now.claims.learn(new)
        for key in new:
            self._put({"do": "tag", "key": key, "tags": {f"{PART_OF}{now.name}": "true"}})

    def start(self, cell: Cell, said: Mapping[str, str] | None = None) -> None:
        """Make the cell's run, or take up the one it has. A cell not yet claimed is claimed.

        Args:
            said: tags of the run besides.

        Raises:
            TrackingError: another driver has it.
        """
        now = self._opened()
        if cell.key not in self._mine:
            elsewhere = self.claim([cell]).elsewhere
            if elsewhere:
                raise TrackingError(
                    f"{cell.title} is trained by another driver ({elsewhere[cell.key]}). Wait "
                    "until it has ended; the same command goes on from there."
                )
        tags = cell_tags(cell, dataset=self.dataset, storage=now.storage) | {
            DRIVER: now.driver.id,
            SWEEP: now.name,
            f"{PART_OF}{now.name}": "true",
            PARENT: now.parent,
            **now.how,
            **(said or {}),
        }
        self._begun[cell.key] = cell
        message = {"do": "start", "key": cell.key, "title": run_name(cell, tags), "tags": tags}
        self._put({**message, "params": params(to_dict(cell.config))})

    def log_epochs(self, key: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log epochs of a started cell; what its run has of them already is passed over."""
        points = self._known.new_in_curve(
            key,
            [
                (name, value, int(epoch["epoch"]))
                for epoch in epochs
                for name, value in epoch.items()
                if name != "epoch"
            ],
        )
        if points:
            curve = self._known.curves[key]
            names = {name for epoch in curve.values() for name in epoch}
            tags = {CURVE: json.dumps(sorted(names - {"epoch"})), EPOCH: str(max(curve))}
            self._put({"do": "points", "key": key, "points": points, "tags": tags})

    def say(self, key: str, tags: Mapping[str, str]) -> None:
        """Put tags on a started cell's run."""
        self._put({"do": "tag", "key": key, "tags": dict(tags)})

    def curve(self, key: str) -> tuple[Mapping[str, float], ...]:
        """All epochs of a started cell, those recorded before it was taken up again included."""
        return tuple(epoch for _, epoch in sorted(self._known.curves[key].items()))

    def end(self, result: CellResult) -> None:
        """End a started cell's run as finished, failed or stopped, with metrics or the reason."""
        # A cell that is scored on another split after its end has most of them already.
        curve, status = self._known.curves[result.key], STATUS_OF[result.status]
        points = self._known.new_finals(result.key, final_points(result.metrics, curve))
        tags = {REASON: result.reason[:4000]} | (history_tag(curve) if status == "FINISHED" else {})
        message = {"do": "end", "key": result.key, "points": points, "tags": tags}
        self._put({**message, "status": status})
        self._begun.pop(result.key, None)

    def close_sweep(self, status: str) -> None:
        """End the parent run: "FINISHED", "FAILED" or "KILLED". `settle` waits until it is so."""
        if self._open is not None:
            self._put({"do": "close", "status": status})
            self._open.status = status

    # What the store does not have yet

    @property
    def unsent(self) -> int:
        """Messages that the store does not have yet."""
        return self._open.outbox.waiting if self._open else 0

    @property
    def away_s(self) -> float | None:
        """For how long the store has been away; None while it answers."""
        return self._open.outbox.away_s if self._open else None

    @property
    def unsent_file(self) -> Path | None:
        """Where unsent messages are kept."""
        return self._open.outbox.file if self._open else None

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is recorded; False if it was not in time."""
        return self._open.outbox.flush(timeout_s) if self._open else True

    def settle(self, patience_s: float) -> bool:
        """Wait until everything is recorded, and stop being a driver.

        Args:
            patience_s: how long to wait for a store that is away.

        Returns:
            False if the store did not come back. What it lacks stays in `unsent_file`.
        """
        if self._open is None:
            return True
        sent = self.flush(patience_s)
        self._leave(self._open, sent)
        return sent

    def abandon(self, reason: str) -> None:
        """End all that is open as stopped, waiting a few seconds for the store at most."""
        now = self._open
        if now is None:
            return
        sent = False
        try:
            for cell in list(self._begun.values()):
                self.end(CellResult(cell.config, self.dataset, cell.key, "stopped", reason))
            self.close_sweep("KILLED")
            sent = self.flush(LAST_WORDS_S)
        except TrackingError:
            pass  # it is in the file, or the reason why this ends early
        self._leave(now, sent)

    def _leave(self, now: _Open, sent: bool) -> None:
        now.outbox.close()
        try:
            # While something is unsent the record stays: who looks finds the process gone.
            if sent:
                now.driver.close(now.status)
        except StoreAwayError:
            pass
        self._open = None

    # Inside

    def _opened(self) -> _Open:
        if self._open is None:
            raise TrackingError("No sweep is open in the ledger. Call open_sweep first.")
        return self._open

    def _put(self, message: Message) -> None:
        now = self._opened()
        if now.driver.fault is not None:
            raise now.driver.fault
        now.outbox.put({**message, "time": int(time.time() * 1000)})

    def _ask_again(self) -> None:
        """Whether this driver, of which the store has not heard for long, still has its cells."""
        mine = self._mine.copy()  # this is called by other threads than the one that adds to it
        lost = self._open.claims.lost(mine) if self._open and mine else {}
        if lost:
            other = who(self.store.get(next(iter(lost.values()))))
            raise TrackingError(
                f"While this driver was cut off from the MLflow store, another one ({other}) has "
                f"taken over {len(lost)} of its cells, so this one stops. Run the same command "
                "again: it goes on with what is not finished."
            )

    def result(self, cell: Cell, run: RunRecord) -> CellResult:
        """A cell whose run has ended, as it was when it ended."""
        return self._known.result(cell, run)


@dataclass
class _Open:
    """A sweep that is open, and the means to record it."""

    name: str
    storage: str
    parent: str
    driver: Driver
    claims: Claims
    outbox: Outbox
    left: LeftBehind
    how: Mapping[str, str]
    status: str = "KILLED"


def _has_ended(run: RunRecord, mine: bool) -> bool:
    """Finished; or failed with a driver that lives, which this one does not try again."""
    return is_finished(run) or (run.status == "FAILED" and not mine)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
