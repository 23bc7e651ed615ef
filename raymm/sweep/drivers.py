"""Drivers: the processes that run sweeps on a ledger, their heartbeat, and whether they live.

Clocks of machines differ and jump, so none is compared with another: whoever looks at a driver
measures with its own monotonic clock how long the driver's heartbeat has stood still, and only
while it keeps looking and the store keeps answering. On the same machine the process itself is
looked for, so that what was killed is known at once.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raymm.errors import TrackingError
from raymm.sweep.tags import KIND, SWEEP
from raymm.tracking import DRIVERS, GoneError, RunRecord, Store, StoreAwayError

BEAT, BEAT_TIME = "raymm.beat", "raymm.beat_time"
HOST, PLACE, PROCESS = "raymm.host", "raymm.place", "raymm.process"


@dataclass(frozen=True)
class Pace:
    """How often a driver gives a sign of life, and how long a silence means what.

    Attributes:
        beat_s: from one heartbeat to the next.
        lease_s: after so long without a heartbeat that the store has taken, a driver asks whether
            its cells are still its own before it writes again.
        silent_s: for so long must a heartbeat stand still to a watching driver before it takes over.
        gap_s: a look that comes later than this after the one before starts the watch anew.
    """

    beat_s: float = 5.0
    lease_s: float = 30.0
    silent_s: float = 60.0
    gap_s: float = 20.0


PACE = Pace()


class Driver:
    """This process's record on the ledger, kept alive by a thread.

    Args:
        sweep: name of the sweep it runs.
        tell: what else each heartbeat says, as tags.
        returned: called (in the thread) before the first heartbeat after a silence of `lease_s`;
            what it raises is kept in `fault`.
    """

    def __init__(
        self,
        store: Store,
        sweep: str,
        *,
        tell: Callable[[], Mapping[str, str]] = dict,
        returned: Callable[[], None] = lambda: None,
        pace: Pace = PACE,
    ) -> None:
        self._store, self._pace, self._tell, self._returned = store, pace, tell, returned
        self.fault: TrackingError | None = None
        self._beats = 0
        tags = {
            KIND: "driver", SWEEP: sweep, HOST: socket.gethostname(), PLACE: here(),
            PROCESS: this_process(), **self._sign(),
        }  # fmt: skip
        self.id = store.create(f"driver of {sweep}", tags, DRIVERS)
        self._last = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name="heartbeat")
        self._thread.start()

    @property
    def in_doubt(self) -> bool:
        """Whether the store has not heard of this driver for so long that it must ask."""
        return time.monotonic() - self._last > self._pace.lease_s

    def beat(self) -> None:
        """Give a sign of life now, having asked first if there was none for long.

        Raises:
            TrackingError: the store has failed, or what `returned` has raised.
        """
        if self.in_doubt:
            self._returned()
        asked = time.monotonic()
        self._store.describe(self.id, {**self._sign(), **self._tell()})
        self._last = asked

    def close(self, status: str) -> None:
        """End the record: what this driver has claimed is free. Does nothing the second time.

        Raises:
            TrackingError: the store cannot be told; others find out by the heartbeat.
        """
        if not self._ending.is_set():
            self._ending.set()
            self._thread.join()
            self._store.set_status(self.id, status)

    def _live(self) -> None:
        while not self._ending.wait(self._pace.beat_s):
            try:
                self.beat()
            except StoreAwayError:
                continue  # the next beat tries again
            except TrackingError as error:
                self.fault = error
                return
            except Exception as error:  # of a thread that ends nobody would hear
                self.fault = TrackingError(
                    f"The heartbeat of {this_process()} has ended by {type(error).__name__}: "
                    f"{error}. This is a fault of raymm. The same command goes on from there."
                )
                self.fault.__cause__ = error
                return

    def _sign(self) -> dict[str, str]:
        self._beats += 1
        return {BEAT: str(self._beats), BEAT_TIME: f"{time.time():.0f}"}


class Watch:
    """Whether drivers live, as one observer sees them.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, store: Store, pace: Pace = PACE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._pace, self._clock = store, pace, clock
        self._seen: dict[str, tuple[str, float, float]] = {}

    def lives(self, driver: str) -> bool:
        """Whether a driver has to be taken for alive.

        Raises:
            TrackingError: the store cannot be asked; what was watched so far counts for nothing.
        """
        try:
            record = self._store.get(driver)
        except StoreAwayError:
            self._seen.clear()
            raise
        except GoneError:
            return False
        now, beat = self._clock(), record.tags.get(BEAT, "")
        if ended(record):
            return False
        last_beat, since, last_look = self._seen.get(driver, ("", now, now))
        if beat != last_beat or now - last_look > self._pace.gap_s:
            since = now
        self._seen[driver] = (beat, since, now)
        return now - since < self._pace.silent_s


def ended(record: RunRecord) -> bool:
    """Whether a driver has certainly ended: it has said so, or its process here is gone."""
    if record.deleted or record.status != "RUNNING":
        return True
    if record.tags.get(PLACE) != here() or not here():
        return False
    return process_gone(record.tags[PROCESS])


def silent_since_s(record: RunRecord, now: float) -> float:
    """Seconds since a driver's last heartbeat, for who looks only once and decides nothing by it.

    Args:
        now: this machine's time. The heartbeat bears the time of the driver's: what is said is as
            good as the two agree.
    """
    return max(0.0, now - float(record.tags.get(BEAT_TIME, now)))


def seems_alive(record: RunRecord, now: float) -> bool:
    """Whether a driver seems to run, to who looks only once: see `silent_since_s`.

    One of this machine does while its process is there, also if the store has not heard of it.
    """
    if ended(record):
        return False
    process_is_here = record.tags.get(PLACE) == here() != ""
    return process_is_here or silent_since_s(record, now) <= PACE.silent_s


def pulse(record: RunRecord) -> str:
    """A driver and its last heartbeat: another one while it lives, or if another has its place."""
    return f"{record.run_id} {record.tags.get(BEAT, '')}"


def who(record: RunRecord) -> str:
    """A driver for people: "host 'a', process 12"."""
    process = record.tags.get(PROCESS, "").partition(":")[0]
    return f"host '{record.tags.get(HOST, '?')}', process {process}"


def here() -> str:
    """Where process numbers mean what they mean here: this boot and process namespace.

    Empty where that cannot be known.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def this_process() -> str:
    """This process, told from a later one of the same number by when it began."""
    return f"{os.getpid()}:{_began(os.getpid())}"


def process_gone(process: str) -> bool:
    """Whether a process of this machine, as `this_process` has named it, has ended."""
    number, _, began = process.partition(":")
    return _began(int(number)) != began


def _began(number: int) -> str:
    """Clock ticks from boot to the start of a process; empty if there is none that runs."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # state; ended, but not yet waited for
