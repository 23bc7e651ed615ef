"""What a person sees of a running sweep: a live board in a terminal, plain lines in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.tags import LEFT

MAIN_METRICS = ("probe/auprc", "probe/pearson")
"""The probe metric that leads, of classification and of regression; higher is better."""
REFRESHES_PER_S = 2
SHOWN_RUNNING = 8
"""Running cells that the live board shows; the others are counted."""


@dataclass
class Standing:
    """Where a sweep stands.

    Args:
        work: how much work each cell is beside the others, by key; for the time left.
        done_before: cells that were finished before this run of the sweep.
        to_come: says how many cells are still to come that are not known yet.
    """

    cells: Sequence[Cell]
    work: Mapping[str, float]
    done_before: Sequence[CellResult] = ()
    started_at: float | None = None
    running: dict[str, int] = field(default_factory=dict)
    ended: dict[str, CellResult] = field(default_factory=dict)
    spared: dict[str, int] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    to_come: Callable[[], int] = lambda: 0
    again: int = 0

    def expect(self, cell: Cell, work: float) -> None:
        """A cell that was not known before, or that is to be taken up once more after its end."""
        if self.ended.pop(cell.key, None) is not None:
            self.again += 1
        elif cell.key not in self.work:
            self.cells, self.work = [*self.cells, cell], {**self.work, cell.key: work}

    @property
    def total(self) -> int:
        """Cells in all that this run of the sweep has to do with; one taken up twice is two."""
        return len(self.cells) + self.again + self.to_come()

    def start(self, key: str, trained: int = 0) -> None:
        """A group has taken the cell up, of which so many epochs were trained before."""
        self.started_at = self.started_at or time.monotonic()
        self.running[key] = trained
        if trained:
            self.spared[key] = trained

    def epochs(self, key: str, first: int, last: int) -> None:
        """The cell has trained these epochs (1-based); earlier ones a checkpoint has spared us."""
        self.spared.setdefault(key, first - 1)
        self.running[key] = max(self.running[key], last)

    def end(self, result: CellResult) -> None:
        """The cell has come to its end."""
        self.running.pop(result.key, None)
        self.ended[result.key] = result

    def count(self, status: str) -> int:
        """Cells that ended in a status, those finished before included."""
        return sum(each.status == status for each in (*self.done_before, *self.ended.values()))

    @property
    def waiting(self) -> int:
        """Cells that nobody has begun, as far as is known here."""
        others = len(self.elsewhere.keys() - self.running.keys() - self.ended.keys())
        begun = len(self.running) + len(self.ended)
        return len(self.cells) + self.to_come() - begun - others

    def best(self) -> tuple[CellResult, str] | None:
        """The cell with the best main probe metric so far, and the metric's name."""
        results = [each for each in (*self.done_before, *self.ended.values()) if each.metrics]
        for metric in MAIN_METRICS:
            having = [each for each in results if metric in each.metrics]
            if having:
                return max(having, key=lambda each: each.metrics[metric]), metric
        return None

    def left_s(self) -> float | None:
        """Seconds left at the speed so far; None until there is something to go by."""
        if self.started_at is None:
            return None
        total = sum(self.work.values()) * (1 + self.to_come() / len(self.work))
        done = sum(self.work[key] for key in list(self.ended))
        spared = 0.0
        for cell in self.cells:
            epochs = cell.config.train.epochs
            done += self.work[cell.key] * self.running.get(cell.key, 0) / epochs
            spared += self.work[cell.key] * self.spared.get(cell.key, 0) / epochs
        if done <= spared:
            return None
        return (time.monotonic() - self.started_at) * (total - done) / (done - spared)

    def tags(self) -> dict[str, str]:
        """What a driver's heartbeat says of its sweep (from another thread)."""
        left_s = self.left_s()
        return {LEFT: "" if left_s is None else f"{left_s:.0f}"}


class ProgressView:
    """Shows a sweep's standing as it changes. A context manager.

    In a terminal a board that is drawn anew; elsewhere one line for each cell that ends.

    Args:
        each_cell: without it only cells that failed have a line.
        note: what there is to say besides, below the board; empty for nothing.
    """

    def __init__(
        self,
        standing: Standing,
        console: Console,
        *,
        each_cell: bool = True,
        note: Callable[[], str] = str,
    ) -> None:
        self.standing, self.console = standing, console
        self._each_cell, self.note = each_cell, note
        self._live = (
            Live(
                console=console,
                get_renderable=self.board,
                refresh_per_second=REFRESHES_PER_S,
                transient=True,
            )
            if is_live(console)
            else None
        )
        self._number = 0

    def __enter__(self) -> ProgressView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def ended(self, result: CellResult) -> None:
        """Tell of a cell that has ended; failures are told in a terminal too, and stay."""
        self._number += 1
        title = Cell(result.key, result.cell).title
        line = f"[{self._number}/{self.standing.total}] {title} "
        if result.status == "finished":
            metric = next((name for name in MAIN_METRICS if name in result.metrics), None)
            value = f" {metric}={result.metrics[metric]:.3f}" if metric else ""
            line += f"finished{value}"
        else:
            line += f"{result.status}: {result.reason}"
        if (self._live is None and self._each_cell) or result.status == "failed":
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(Text(line), soft_wrap=True, highlight=False)

    def board(self) -> RenderableType:
        """The live board: counts, the running cells, the best so far, the time left."""
        standing = self.standing
        done, failed = standing.count("finished"), standing.count("failed")
        all_cells = standing.total + len(standing.done_before)
        head = Text.assemble(
            (f"{done}", "bold green"), f" of {all_cells} done   ",
            (f"{len(standing.running)}", "bold cyan"), " running   ",
            (f"{standing.waiting}", "bold"), " waiting   ",
            (f"{len(standing.elsewhere)} elsewhere   " if standing.elsewhere else "", "bold"),
            (f"{failed}", "bold red" if failed else "bold"), " failed",
            f"   {_left(standing.left_s(), standing.started_at)}",
        )  # fmt: skip
        note = self.note()
        notes = [Text(note, style="yellow")] if note else []
        return Group(head, self._running(), self._best(), *notes)

    def _running(self) -> RenderableType:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        cells = {cell.key: cell for cell in self.standing.cells}
        shown = list(self.standing.running.items())[:SHOWN_RUNNING]
        for key, epoch in shown:
            cell = cells[key]
            epochs = cell.config.train.epochs
            bar = ProgressBar(total=epochs, completed=epoch, width=20)
            table.add_row(f"  {cell.title}", bar, f"epoch {epoch}/{epochs}")
        more = len(self.standing.running) - len(shown)
        if more:
            table.add_row(f"  and {more} more", "", "")
        return table

    def _best(self) -> Text:
        best = self.standing.best()
        if best is None:
            return Text()
        result, metric = best
        title = Cell(result.key, result.cell).title
        return Text(f"best so far: {metric} {result.metrics[metric]:.3f}  {title}", style="dim")


def is_live(console: Console) -> bool:
    """Whether a board can be drawn anew: in a terminal, and in a notebook that has widgets."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


def _left(seconds: float | None, started_at: float | None) -> str:
    if started_at is None:
        return "workers are starting"
    if seconds is None:
        return "time left: not known yet"
    return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
