"""Where a sweep stands, as the ledger has it: `raymm status NAME`, from any machine. Only reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raymm.errors import SweepError, nearest
from raymm.sweep.drivers import PACE, ended, seems_alive, silent_since_s, who
from raymm.sweep.prices import read_prices
from raymm.sweep.progress import duration
from raymm.sweep.status_costs import Costs, costs_of, kinds_table, totals_table
from raymm.sweep.tags import CONDITION, DRIVER, EPOCH, KIND, LEFT, PART_OF, REASON, SWEEP
from raymm.tracking import DRIVERS, RunRecord, Store

SHOWN_FAILURES = 5


@dataclass
class Tally:
    """The cells of one condition.

    Attributes:
        cells: all of them; for a search, those that its trials have begun.
        epochs: of each running cell, those trained, and those there are.
        interrupted: begun, and with no driver that seems to live: they are gone on with.
    """

    cells: int = 0
    finished: int = 0
    failed: int = 0
    interrupted: int = 0
    epochs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def begun(self) -> int:
        """Cells that have a run."""
        return self.finished + self.failed + self.interrupted + len(self.epochs)

    @property
    def waiting(self) -> int:
        """Cells that nobody has begun."""
        return max(0, self.cells - self.begun)


@dataclass(frozen=True)
class SweepStatus:
    """Where a sweep stands.

    Attributes:
        status: of the sweep's run: RUNNING, FINISHED, FAILED or KILLED.
        conditions: by title, in the sweep's order.
        costs: what its cells take and have taken.
        drivers: records of those that run it now and are not known to have ended.
        failures: cell and reason of those that failed.
    """

    name: str
    status: str
    conditions: dict[str, Tally]
    costs: Costs
    drivers: Sequence[RunRecord]
    failures: Sequence[tuple[str, str]]


def read_status(store: Store, name: str, clock: Callable[[], float] = time.time) -> SweepStatus:
    """Read where a sweep stands.

    Args:
        clock: this machine's time, by which a driver on another one has been silent for long.

    Raises:
        SweepError: there is no such sweep; says which name is nearest.
        TrackingError: the ledger cannot be read.
    """
    sweeps = {run.tags[SWEEP]: run for run in store.runs(f"tags.`{KIND}` = 'sweep'")}
    if name not in sweeps:
        raise SweepError(f"There is no sweep '{name}' in the ledger: {nearest(name, sweeps)}")
    records = store.runs(f"tags.`{KIND}` = 'driver'", DRIVERS)
    running = [record for record in records if not ended(record)]
    now = clock()
    alive = {record.run_id for record in running if seems_alive(record, now)}
    conditions = _expected(sweeps[name])
    failures = []
    recorded = store.runs(f"tags.`{KIND}` = 'cell'")
    cells = [run for run in recorded if f"{PART_OF}{name}" in run.tags]
    for run in cells:
        tally = conditions.setdefault(run.tags[CONDITION], Tally())
        if run.status == "FINISHED":
            tally.finished += 1
        elif run.status == "FAILED":
            tally.failed += 1
            failures.append((run.name, run.tags.get(REASON, "")))
        elif run.status == "RUNNING" and run.tags.get(DRIVER) in alive:
            tally.epochs.append((int(run.tags.get(EPOCH, 0)), int(run.params["train.epochs"])))
        else:
            tally.interrupted += 1
    for tally in conditions.values():
        tally.cells = max(tally.cells, tally.begun)
    own = [record for record in running if record.tags.get(SWEEP) == name]
    expected = {title: tally.cells for title, tally in conditions.items()}
    costs = costs_of(sweeps[name], expected, cells, recorded)
    return SweepStatus(name, sweeps[name].status, conditions, costs, own, failures)


def _expected(sweep: RunRecord) -> dict[str, Tally]:
    """The conditions that the sweep's driver has written down, with their numbers of cells."""
    names = [name for name in sweep.tags if name.startswith(f"{CONDITION}.")]
    said = [json.loads(sweep.tags[n]) for n in sorted(names, key=lambda n: int(n.split(".")[-1]))]
    return {each["title"]: Tally(each["cells"]) for each in said}


def print_status(
    found: SweepStatus, console: Console, clock: Callable[[], float] = time.time
) -> None:
    """Show where a sweep stands, in 80 columns.

    Args:
        clock: this machine's time.
    """
    now = clock()
    console.print(_head(found, now))
    for driver in found.drivers:
        console.print(_driver(driver, now), soft_wrap=True, highlight=False)
    if not found.drivers and found.status == "RUNNING":
        text = "Its driver is gone. The same command goes on with what is not finished."
        console.print(Text(text, style="yellow"), soft_wrap=True)
    console.print()
    console.print(_table(found))
    console.print()
    console.print(kinds_table(found.costs))
    console.print()
    console.print(totals_table(found.costs, read_prices()))
    for name, reason in found.failures[:SHOWN_FAILURES]:
        console.print(Text(f"{name} failed: {reason}", style="red"), soft_wrap=True)
    if len(found.failures) > SHOWN_FAILURES:
        console.print(f"and {len(found.failures) - SHOWN_FAILURES} more", style="red")


def _head(found: SweepStatus, now: float) -> Text:
    tallies = found.conditions.values()
    cells, finished = sum(t.cells for t in tallies), sum(t.finished for t in tallies)
    alive = [driver for driver in found.drivers if seems_alive(driver, now)]
    word = "running" if alive else found.status.lower()
    word = "interrupted" if word in ("killed", "running") and not alive else word
    left = [float(d.tags[LEFT]) for d in alive if d.tags.get(LEFT)]
    ahead = f", about {duration(max(left))} left" if left else ""
    return Text.assemble(
        (found.name, "bold"), f"  {word}: ", (f"{finished}", "bold green"),
        f" of {cells} cells finished{ahead}",
    )  # fmt: skip


def _driver(driver: RunRecord, now: float) -> Text:
    age_s = silent_since_s(driver, now)
    text = f"driver   {who(driver)}, last heartbeat {duration(age_s)} ago"
    if age_s <= PACE.silent_s:
        return Text(text)
    text += "; it may be gone, and then the same command takes over"
    return Text(text, style="yellow")


def _table(found: SweepStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("condition", style="bold")
    interrupted = any(tally.interrupted for tally in found.conditions.values())
    headings = ["finished", "running", "failed", "waiting"]
    for heading in [*headings, *(["to resume"] if interrupted else [])]:
        table.add_column(heading, justify="right")
    for title, tally in found.conditions.items():
        epochs = ", ".join(f"{done}/{of}" for done, of in sorted(tally.epochs, reverse=True))
        row = [
            Text(str(tally.finished), style="green" if tally.finished == tally.cells else ""),
            Text(f"{len(tally.epochs)} (epoch {epochs})" if epochs else "-", style="cyan"),
            Text(str(tally.failed), style="red") if tally.failed else Text("-"),
            Text(str(tally.waiting or "-")),
        ]
        table.add_row(title, *row, *([str(tally.interrupted or "-")] if interrupted else []))
    return table
