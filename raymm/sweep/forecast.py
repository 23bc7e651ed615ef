"""What a sweep will take: room, memory, time, money, storage. Starts nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from raymm.errors import SweepError
from raymm.sweep.cells import Cell
from raymm.sweep.estimate import SLACK, Need, estimate
from raymm.sweep.plan import Sweep
from raymm.sweep.prices import GPU_MEMORY_GIB, Instance, Prices, read_prices
from raymm.sweep.recorded import Recorded, Taken, read_recorded
from raymm.sweep.room import cells_at_a_time, check_memory
from raymm.sweep.states import STATES, State, cell_states
from raymm.sweep.tags import condition

Fit = Literal["yes", "in parts", "no"]
START_S = 20.0
"""Until the first cell trains: Ray and the worker groups start."""


@dataclass(frozen=True)
class Kind:
    """Cells of one model, which take alike.

    Attributes:
        open: those that are not finished.
        need: by formula; of the cell that takes most.
        taken: by what is recorded of like cells.
        seconds: expected of all the open ones together; None if not known.
    """

    title: str
    cells: Sequence[Cell]
    open: Sequence[Cell]
    need: Need
    taken: Taken
    seconds: float | None

    @property
    def memory_gib(self) -> float:
        """Peak of a worker: recorded if it is, else estimated."""
        return self.taken.memory_gib or self.need.memory_gib


@dataclass(frozen=True)
class Forecast:
    """All there is to say of a sweep before it starts.

    Attributes:
        states: cells in each state; for a search those its trials may need are all new.
        at_once: cells that train at the same time; None where that cannot be known from here.
        refusal: why some cell cannot be placed; empty if all can.
        instance: machine that the cost is reckoned with; None if no price is known.
    """

    states: dict[State, int]
    kinds: Sequence[Kind]
    workers: int
    gpu: str | None
    larger_gpu: str | None
    gpus_per_worker: float
    at_once: int | None
    refusal: str
    prices: Prices | None
    instance: Instance | None
    workers_on_instance: int

    @property
    def seconds(self) -> float | None:
        """Of all open cells, one after the other; None if that of some is not known."""
        each = [kind.seconds for kind in self.kinds if kind.open]
        return None if None in each else sum(s for s in each if s is not None)

    @property
    def wall_s(self) -> float | None:
        """From start to end, with as many cells at a time as fit."""
        seconds, most = self.seconds, sum(len(kind.open) for kind in self.kinds)
        if seconds is None or not self.at_once or not most:
            return None
        return START_S + seconds / min(self.at_once, most)

    @property
    def worker_hours(self) -> float | None:
        """Hours of all workers; GPU-hours where each has a GPU."""
        return None if self.seconds is None else self.seconds * self.workers / 3600

    def cost(self, spot: bool) -> float | None:
        """Of the workers' hours, on the cheapest machine that holds them, fully used."""
        if self.worker_hours is None or self.instance is None:
            return None
        price = self.instance.spot if spot else self.instance.on_demand
        return self.worker_hours / self.workers_on_instance * price

    @property
    def finished_gb(self) -> float:
        """Storage that the weights of all cells take in the end (10^9 bytes)."""
        return sum(kind.need.finished_gb * len(kind.cells) for kind in self.kinds)

    @property
    def training_gb(self) -> float | None:
        """Storage that the checkpoints of cells under way take at most, besides."""
        most = max((kind.need.training_gb for kind in self.kinds), default=0.0)
        return None if self.at_once is None else most * self.at_once

    def fits(self, kind: Kind) -> Fit | None:
        """Whether a worker's memory fits its GPU; None without one, or where it is not known.

        "in parts" is what may run out of memory, and then is trained with each step in smaller
        parts: what is only estimated may be more by the factor that the estimate is good for. "no"
        is what does not fit even so.
        """
        have = GPU_MEMORY_GIB.get(self.gpu or "")
        if have is None:
            return None
        share = have * self.gpus_per_worker
        if kind.memory_gib * (1 if kind.taken.memory_gib else SLACK) <= share:
            return "yes"
        return "in parts" if kind.need.least_gib <= share else "no"


def forecast(sweep: Sweep, times: Callable[[Cell], int] = lambda cell: 1) -> Forecast:
    """Find out all there is to say.

    Args:
        times: how often a cell of the sweep is to be trained in some form: in a search, trials.

    Raises:
        TrackingError: the ledger cannot be read.
        SweepError: the storage cannot be read.
        ConfigError: the price list is damaged.
    """
    settings = sweep.settings
    states = cell_states(sweep)
    how = (settings.gpu or "CPU", settings.workers)
    recorded = read_recorded(sweep.ledger.store, sweep.cells, sweep.dataset, *how)
    kinds: dict[str, list[Cell]] = {}
    for cell in sweep.cells:
        kinds.setdefault(condition(cell).partition(" S=")[0], []).extend([cell] * times(cell))
    at_once, refusal = _room(sweep)
    prices = read_prices()
    per_worker = (settings.gpu, settings.gpus_per_worker, settings.cpus_per_worker)
    instance = prices.cheapest(*per_worker) if prices else None
    held = instance.holds(*per_worker) if instance else 0
    return Forecast(
        states={state: sum(each == state for each in states.values()) for state in STATES},
        kinds=[_kind(sweep, title, cells, states, recorded) for title, cells in kinds.items()],
        workers=settings.workers,
        gpu=settings.gpu,
        larger_gpu=settings.larger_gpu,
        gpus_per_worker=settings.gpus_per_worker,
        at_once=at_once,
        refusal=refusal,
        prices=prices,
        instance=instance,
        workers_on_instance=held,
    )


def _kind(
    sweep: Sweep, title: str, cells: Sequence[Cell], states: dict[str, State], recorded: Recorded
) -> Kind:
    settings = sweep.settings
    open_ = [cell for cell in cells if states[cell.key] != "finished"]
    needs = {
        cell.key: estimate(cell.config, sweep.dataset, settings.workers, settings.gpu is not None)
        for cell in cells
    }
    taken = {cell.key: recorded.of(cell.config) for cell in cells}
    seconds = [taken[cell.key].seconds for cell in open_]
    return Kind(
        title=title,
        cells=cells,
        open=open_,
        need=max(needs.values(), key=lambda need: need.memory_gib),
        taken=max(taken.values(), key=lambda each: each.cells),
        seconds=None if None in seconds else sum(s for s in seconds if s is not None),
    )


def _room(sweep: Sweep) -> tuple[int | None, str]:
    """How many cells fit at a time, and why some fit nowhere."""
    at_once: int | None = None
    try:
        at_once = cells_at_a_time(sweep, sweep.cells)
        check_memory(sweep, sweep.cells)
    except SweepError as error:
        return at_once, str(error)
    return at_once, ""
