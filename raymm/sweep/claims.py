"""Claims: which driver trains which cell, and which run is a cell's.

**The protocol.** All that has to be decided is decided in registers that are written once
(`raymm.tracking`): `<key>/owner/<n>` and `<key>/run/<n>`, n = 1, 2, ...; the one with the highest
number counts. A driver that wants a cell reads the registers. Nobody's, or that of a driver that is
no longer alive (`raymm.sweep.drivers.Watch`): it writes its own id into the next number, and reads
what the register holds then. Only if that is its own id does it train the cell.

**Why two drivers never train a cell at once.** Both would have written their id into an owner
register and read it back. Not the same register, for one value stays in it. So one wrote a higher
number, and it did so only after it found the other, whose number was the highest, not to be alive. A
driver is taken for dead if it has said so itself (then it trains no more), if its process is gone, or
if its heartbeat has stood still for `silent_s` while the store was answering. The last may be wrong:
a driver may be suspended or cut off from the store alone. Such a driver finds out: silent for
`lease_s`, which is less, it asks the registers before it writes to the ledger again, and stops. So a
cell has one run and one history even then; only work is lost.

**Why a cell never has two runs.** A run is made without a key. Its id is offered to the register; the
run whose id the register holds gets the key, any other is deleted.

**Why it goes on.** A register is written by whoever comes first, without a lock that a dead driver
could hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from raymm.sweep.drivers import Watch
from raymm.sweep.tags import DRIVER, KIND
from raymm.tracking import GoneError, RunRecord, Store

OWNER, RUN = "owner", "run"
CANDIDATE = "candidate"


@dataclass(frozen=True)
class Taken:
    """What came of an attempt to claim cells.

    Attributes:
        mine: keys of the cells that are this driver's.
        others: the driver that has each of the others, by key.
        dead: drivers that were found dead.
    """

    mine: set[str]
    others: dict[str, str]
    dead: set[str] = field(default_factory=set)


class Claims:
    """The claims of one driver.

    Args:
        driver: id of the driver's record.
    """

    def __init__(self, store: Store, driver: str, watch: Watch) -> None:
        self._store, self._driver, self._watch = store, driver, watch
        self._runs: dict[str, tuple[int, str]] = {}

    def learn(self, keys: Collection[str]) -> None:
        """Read at once which runs cells have, for `run_of`.

        Should somebody write one later, the register that is offered a run then holds that one.
        """
        registers = _newest(self._store.registers(keys))
        for key in keys:
            self._runs[key] = registers.get((key, RUN), (0, ""))

    def take(self, keys: Collection[str]) -> Taken:
        """Claim those of the cells that no living driver has.

        Raises:
            TrackingError: the store cannot be asked or written.
        """
        registers = _newest(self._store.registers(keys))
        lives = _remembered(self._watch.lives)
        taken, wanted = Taken(set(), {}), dict[str, str]()
        for key in keys:
            self._runs[key] = registers.get((key, RUN), (0, ""))
            number, owner = registers.get((key, OWNER), (0, ""))
            if owner == self._driver:
                taken.mine.add(key)
            elif not owner or not lives(owner):
                wanted[key] = f"{key}/{OWNER}/{number + 1}"
                taken.dead.update({owner} - {""})
            else:
                taken.others[key] = owner
        if wanted:
            held = self._store.write_once(dict.fromkeys(wanted.values(), self._driver))
            for key, register in wanted.items():
                if held[register] == self._driver:
                    taken.mine.add(key)
                else:
                    taken.others[key] = held[register]
        return taken

    def lost(self, keys: Collection[str]) -> dict[str, str]:
        """Those of the cells, once this driver's, that another has taken over: by whom."""
        registers = _newest(self._store.registers(keys))
        owners = {key: registers.get((key, OWNER), (0, ""))[1] for key in keys}
        return {key: owner for key, owner in owners.items() if owner != self._driver}

    def is_dead(self, driver: str) -> bool:
        """Whether a driver may be taken for dead now."""
        return not self._watch.lives(driver)

    def run_of(self, key: str, name: str) -> tuple[str, RunRecord | None]:
        """The run of a cell or a sweep, made if there is none or it has been deleted.

        Args:
            name: what a run that is made is called. It gets its tags from the caller.

        Returns:
            Its id, and what the store has of it; None if it was made just now, and runs.
        """
        if key not in self._runs:
            self.learn([key])
        number, run_id = self._runs[key]
        there = self._found(run_id) if run_id else None
        if there is not None:
            return run_id, there
        candidate = self._store.create(name, {KIND: CANDIDATE, DRIVER: self._driver})
        register = f"{key}/{RUN}/{number + 1}"
        chosen = self._store.write_once({register: candidate})[register]
        self._runs[key] = number + 1, chosen
        if chosen == candidate:
            return chosen, None
        self._store.delete(candidate)
        return chosen, self._store.get(chosen)

    def bury(self, driver: str) -> None:
        """End what a dead driver has left open: its record, and the runs that bear its name still.

        What another driver has begun since bears that one's name, and is left alone.
        """
        record = self._found(driver)
        if record is None or record.status != "RUNNING":
            return  # it ended in good order, or is buried
        registers = _newest(self._store.registers())
        chosen = {run for (_, kind), (_, run) in registers.items() if kind == RUN}
        for run in self._store.runs(f"tags.`{DRIVER}` = '{driver}'"):
            if run.run_id not in chosen:
                self._store.delete(run.run_id)
            elif run.status == "RUNNING":
                self._store.set_status(run.run_id, "KILLED")
        self._store.set_status(driver, "KILLED")

    def _found(self, run_id: str) -> RunRecord | None:
        """A run; None if it is deleted."""
        try:
            record = self._store.get(run_id)
        except GoneError:
            return None
        return None if record.deleted else record


def run_ids(store: Store, keys: Collection[str]) -> dict[str, str]:
    """The runs that cells have, by cell key. Nobody says that they are still there."""
    registers = _newest(store.registers(keys))
    found = {key: registers.get((key, RUN), (0, ""))[1] for key in keys}
    return {key: run for key, run in found.items() if run}


def _newest(registers: Mapping[str, str]) -> dict[tuple[str, str], tuple[int, str]]:
    """The highest number and its value for each (key, kind)."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for name, value in registers.items():
        key, _, rest = name.rpartition("/")
        key, _, kind = key.rpartition("/")
        if kind in (OWNER, RUN):
            found[key, kind] = max(found.get((key, kind), (0, "")), (int(rest), value))
    return found


def _remembered(ask: Callable[[str], bool]) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def answer(of: str) -> bool:
        if of not in known:
            known[of] = ask(of)
        return known[of]

    return answer
