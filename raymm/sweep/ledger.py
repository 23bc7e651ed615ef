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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

from raymm.config import to_dict
from raymm.errors import SweepError, TrackingError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.claims import Claims
from raymm.sweep.delivery import Delivery
from raymm.sweep.drivers import PACE, Driver, Pace, Watch, pulse, who
from raymm.sweep.outbox import RETRY_S, Message, Outbox, left_behind, read
from raymm.sweep.tags import (
    CURVE,
    DRIVER,
    EPOCH,
    KEY,
    KIND,
    PARENT,
    PART_OF,
    STATUS_OF,
    SWEEP,
    Curve,
    Point,
    cell_tags,
    commit_tag,
    condition_tags,
    final_points,
    params,
    result_of,
    run_name,
)
from raymm.tracking import RunRecord, Store, StoreAwayError, ui_command

LEFT_BEHIND_S = 120.0
"""How long to wait for the store to take what an earlier driver has left behind."""
FEW = 8
"""Cells whose runs are looked for one by one."""
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
        self._curves: dict[str, Curve] = {}
        self._finals: dict[str, dict[str, float]] = {}
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
        return self._runs_of({cell.key for cell in cells})

    def _runs_of(self, wanted: Collection[str]) -> dict[str, RunRecord]:
        having = f"tags.`{KIND}` = 'cell'"
        if len(wanted) <= FEW:  # a search asks for a trial's cells: not for all runs each time
            asked = [f"{having} and tags.`{KEY}` = '{key}'" for key in sorted(wanted)]
        else:
            asked = [having]
        runs = [run for each in asked for run in self.store.runs(each)]
        return {run.tags[KEY]: run for run in runs if run.tags.get(KEY) in wanted}

    def finished(self, cells: Sequence[Cell]) -> dict[str, CellResult]:
        """Those of the cells that are finished, by key, with their metrics and curves.

        Which splits they are scored on is for the caller to see.
        """
        runs = self.seen(cells)
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
                self._claim_alone(claims, driver, sweep_key, name, say)
            except BaseException:
                with suppress(StoreAwayError):  # others find out by the heartbeat
                    driver.close("KILLED")
                raise
        parent = claims.run_of(sweep_key, name)
        delivery = Delivery(self.store, driver, claims, parent)
        outbox = Outbox(folder, driver.id, delivery, self._retry_s)
        self._open = _Open(name, storage, folder, parent, driver, claims, outbox, how)
        tags = {SWEEP: name, KIND: "sweep", DRIVER: driver.id, **commit_tag()}
        new = not self.store.get(parent).params
        self.store.describe(parent, tags | condition_tags(cells), params(settings) if new else {})
        self.store.set_status(parent, "RUNNING")

    def _claim_alone(
        self, claims: Claims, driver: Driver, key: str, name: str, say: Callable[[str], None]
    ) -> None:
        """Wait until whoever leads the sweep is known to live or to be dead; take it if dead.

        A driver on another machine is seen to be dead only by a heartbeat that stands still while
        it is watched, and seen to live by one that moves.
        """
        # Three times as long as silence has to last: looks that a slow store delays begin it anew.
        until = time.monotonic() + 3 * self._pace.silent_s
        taken, there = claims.take([key]), ""
        while taken.others and time.monotonic() < until:
            now = pulse(other := self.store.get(taken.others[key]))
            if there and now != there:
                break
            if not there:
                say(f"waiting to see whether the driver that leads '{name}' ({who(other)}) lives")
            there = now
            time.sleep(min(1.0, self._pace.beat_s))
            taken = claims.take([key])
        for dead in taken.dead:
            claims.bury(dead)
        if taken.others:
            other = self.store.get(taken.others[key])
            raise SweepError(
                f"'{name}' is led by another driver ({who(other)}), and only one can choose what "
                "is trained next. Wait until it has ended, and give the same command again; or "
                "give another --name."
            )

    def claim(self, cells: Sequence[Cell]) -> Granted:
        """Make cells this driver's own, unless they have ended or another driver has them.

        What a driver that died has left unsent is recorded first.
        """
        now = self._opened()
        taken = now.claims.take(cell.key for cell in cells)
        for driver in taken.dead:
            now.claims.bury(driver)
        mine = {cell.key: cell for cell in cells if cell.key in taken.mine}
        runs = self.seen(cells)
        self._take_up(mine, runs)
        if self._send_left_behind(now):
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
        return Granted(
            mine=[cell for key, cell in mine.items() if key not in ended],
            ended=ended,
            elsewhere={
                key: who(self.store.get(driver))
                for key, driver in taken.others.items()
                if key not in ended
            },
        )

    def mark_part_of_sweep(self, keys: Iterable[str]) -> None:
        """Say on the runs of cells, which another sweep may have made, that this one uses them."""
        for key in keys:
            self._put(
                {"do": "tag", "key": key, "tags": {f"{PART_OF}{self._opened().name}": "true"}}
            )

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
        points = self._new_in_curve(
            key,
            [
                (name, value, int(epoch["epoch"]))
                for epoch in epochs
                for name, value in epoch.items()
                if name != "epoch"
            ],
        )
        if points:
            curve = self._curves[key]
            names = {name for epoch in curve.values() for name in epoch}
            tags = {CURVE: json.dumps(sorted(names - {"epoch"})), EPOCH: str(max(curve))}
            self._put({"do": "points", "key": key, "points": points, "tags": tags})

    def say(self, key: str, tags: Mapping[str, str]) -> None:
        """Put tags on a started cell's run."""
        self._put({"do": "tag", "key": key, "tags": dict(tags)})

    def curve(self, key: str) -> tuple[Mapping[str, float], ...]:
        """All epochs of a started cell, those recorded before it was taken up again included."""
        return tuple(epoch for _, epoch in sorted(self._curves[key].items()))

    def end(self, result: CellResult) -> None:
        """End a started cell's run as finished, failed or stopped, with metrics or the reason."""
        # A cell that is scored on another split after its end has most of them already.
        finals = final_points(result.metrics, self._curves[result.key])
        points = self._new_finals(result.key, finals)
        self._put({"do": "points", "key": result.key, "points": points, "tags": {}})
        reason, status = result.reason[:4000], STATUS_OF[result.status]
        self._put({"do": "end", "key": result.key, "reason": reason, "status": status})
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

    def settle(self, patience_s: float, waiting: Callable[[], None] = lambda: None) -> bool:
        """Wait until everything is recorded, and stop being a driver.

        Args:
            patience_s: how long to wait for a store that is away.
            waiting: called each second while there is something to wait for.

        Returns:
            False if the store did not come back. What it lacks stays in `unsent_file`.
        """
        if self._open is None:
            return True
        deadline = time.monotonic() + patience_s
        sent = self.flush(1.0)
        while not sent and time.monotonic() < deadline:
            waiting()
            sent = self.flush(1.0)
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

    def _take_up(self, keys: Iterable[str], runs: Mapping[str, RunRecord]) -> None:
        """Cells are this driver's: know what the store has of them."""
        for key in keys:
            self._curves[key] = self._read_curve(runs[key]) if key in runs else {}
            self._finals[key] = dict(runs[key].metrics) if key in runs else {}
            self._mine.add(key)

    def _send_left_behind(self, now: _Open) -> bool:
        """Record what dead drivers of this sweep have left in files; whether there was anything.

        All cells of a file are claimed for that: a search claims its cells a few at a time, and
        may never ask for some of them again. What the file has on cells that another driver has is
        dropped: that one goes on from the checkpoint in storage, which has the whole curve.
        """
        found = False
        for driver, file in left_behind(now.folder):
            if driver == now.driver.id or not now.claims.is_dead(driver):
                continue
            messages = [message for message in read(file) if "key" in message]
            keys = self._claim_left(messages, now)
            for message in messages:
                if message["key"] in keys:
                    self._put_again(message)
                    found = True
            file.unlink(missing_ok=True)
        if found and not now.outbox.flush(LEFT_BEHIND_S):
            raise StoreAwayError(now.outbox.trouble)
        return found

    def _claim_left(self, messages: Sequence[Message], now: _Open) -> set[str]:
        """Make the cells of messages this driver's, but for those that are finished.

        Of these only such are taken as the messages leave finished: with more metrics.
        """
        keys = {message["key"] for message in messages}
        runs = self._runs_of(keys) if keys else {}
        last = {m["key"]: m.get("status") for m in messages if m["do"] in ("start", "end")}
        wanted = {
            key for key in keys if not _finished(runs.get(key)) or last.get(key) == "FINISHED"
        }
        taken = now.claims.take(wanted)
        for driver in taken.dead:
            now.claims.bury(driver)
        self._take_up(taken.mine - self._mine, runs)
        return taken.mine

    def _put_again(self, message: Message) -> None:
        """Put a message of a dead driver, less what the store has."""
        outbox, key = self._opened().outbox, message["key"]
        if message["do"] != "points":
            outbox.put(message)
        elif message["tags"]:
            outbox.put({**message, "points": self._new_in_curve(key, message["points"])})
        else:
            outbox.put({**message, "points": self._new_finals(key, message["points"])})

    def _new_in_curve(self, key: str, points: Iterable[Point]) -> list[Point]:
        """Those points of a cell's curve that are not recorded, which from now on they are.

        A driver that was killed may have recorded a part of an epoch's.
        """
        curve = self._curves[key]
        new = [each for each in points if each[0] not in curve.get(each[2], {})]
        for name, value, step in new:
            curve.setdefault(step, {"epoch": float(step)})[name] = value
        return new

    def _new_finals(self, key: str, points: Iterable[Point]) -> list[Point]:
        """Those of a cell's final metrics that are not recorded, which from now on they are."""
        finals = self._finals.setdefault(key, {})
        new = [each for each in points if not _same(finals.get(each[0]), each[1])]
        finals.update((name, value) for name, value, _ in new)
        return new

    def result(self, cell: Cell, run: RunRecord) -> CellResult:
        """A cell whose run has ended, as it was when it ended."""
        return result_of(cell, self.dataset, run, self._read_curve(run))

    def _read_curve(self, run: RunRecord) -> Curve:
        """Recorded epochs by number."""
        epochs: Curve = {}
        for name in json.loads(run.tags.get(CURVE, "[]")):
            for step, value in self.store.history(run.run_id, name):
                epochs.setdefault(step, {"epoch": float(step)})[name] = value
        return epochs


@dataclass
class _Open:
    """A sweep that is open, and the means to record it."""

    name: str
    storage: str
    folder: Path
    parent: str
    driver: Driver
    claims: Claims
    outbox: Outbox
    how: Mapping[str, str]
    status: str = "KILLED"


def _has_ended(run: RunRecord, mine: bool) -> bool:
    """Finished; or failed with a driver that lives, which this one does not try again."""
    return _finished(run) or (run.status == "FAILED" and not mine)


def _same(there: float | None, value: float) -> bool:
    """Whether a value is recorded already; nan is like nan."""
    return there is not None and (there == value or (there != there and value != value))


def _finished(run: RunRecord | None) -> bool:
    return run is not None and run.status == "FINISHED"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
