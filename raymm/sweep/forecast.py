"""What a sweep will take: room, memory, time, money, storage. Starts nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raymm.errors import SweepError
from raymm.sweep.cells import Cell
from raymm.sweep.estimate import SLACK, Need, estimate
from raymm.sweep.placement import by_gpu
from raymm.sweep.plan import Sweep
from raymm.sweep.prices import GPU_MEMORY_GIB, SECONDS_AN_HOUR, Group, Prices, Rate, read_prices
from raymm.sweep.recorded import Taken, read_recorded
from raymm.sweep.room import Found, check_memory, find_room
from raymm.sweep.states import STATES, State, cell_states
from raymm.sweep.tags import condition

Fit = Literal["yes", "in parts", "no"]
START_S = 20.0
"""Until the first cell trains: Ray and the worker groups start."""


@dataclass(frozen=True)
class Kind:
    """Cells of one model.

    Attributes:
        open: those that are not finished.
        gpus: kinds of GPU that they are placed on.
        need: by formula; of the cell that takes most.
        taken: by what is recorded of like cells.
        seconds: expected of all the open ones together; None if not known.
    """

    title: str
    cells: Sequence[Cell]
    open: Sequence[Cell]
    gpus: Sequence[str | None]
    need: Need
    taken: Taken
    seconds: float | None

    @property
    def memory_gib(self) -> float:
        """Peak of a worker: recorded if it is, else estimated."""
        return self.taken.memory_gib or self.need.memory_gib


@dataclass(frozen=True)
class Share:
    """The cells that are placed on one kind of GPU.

    Attributes:
        gpu: None for CPUs.
        open: how many are to be trained.
        seconds: expected of all of those together; None if not known.
        groups: of workers that fit at a time; None where that cannot be known from here.
        rate: what their training costs; None if no price is known.
    """

    gpu: str | None
    open: int
    seconds: float | None
    groups: int | None
    rate: Rate | None

    @property
    def wall_s(self) -> float | None:
        """With as many cells at a time as fit."""
        if not self.open:
            return 0.0
        if self.seconds is None or not self.groups:
            return None
        return self.seconds / min(self.groups, self.open)

    def cost(self, *, spot: bool) -> float | None:
        """Of their training."""
        if not self.open:
            return 0.0
        if self.seconds is None or self.rate is None:
            return None
        return self.rate.of(self.seconds, spot=spot)


@dataclass(frozen=True)
class Forecast:
    """All there is to say of a sweep before it starts.

    Attributes:
        states: cells in each state; for a search those its trials may need are all new.
        shares: by the kind of GPU.
        in_turn: whether the shares are trained one after the other, else at the same time.
        at_once: cells that train at the same time; None where that cannot be known from here.
        refusal: why some cell cannot be placed; empty if all can.
    """

    states: dict[State, int]
    kinds: Sequence[Kind]
    shares: Sequence[Share]
    in_turn: bool
    workers: int
    gpu: str | None
    larger_gpu: str | None
    gpus_per_worker: float
    at_once: int | None
    refusal: str
    prices: Prices | None

    @property
    def seconds(self) -> float | None:
        """Of all open cells, one after the other; None if that of some is not known."""
        return added(share.seconds for share in self.shares)

    @property
    def wall_s(self) -> float | None:
        """From start to end."""
        each = [share.wall_s for share in self.shares]
        whole = added(each)
        if not whole:
            return None
        return START_S + (whole if self.in_turn else max(s for s in each if s is not None))

    @property
    def worker_hours(self) -> float | None:
        """Hours of all workers; GPU-hours where each has a GPU."""
        return None if self.seconds is None else self.seconds * self.workers / SECONDS_AN_HOUR

    def cost(self, *, spot: bool) -> float | None:
        """Of training, on machines that are fully used."""
        return added(share.cost(spot=spot) for share in self.shares)

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
        """Whether a worker's memory fits a GPU of kind --gpu; None without one, or where it is not
        known.

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


def added(values: Iterable[float | None]) -> float | None:
    """The sum; None if one of them is not known."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def forecast(sweep: Sweep) -> Forecast:
    """Find out all there is to say.

    Raises:
        TrackingError: the ledger cannot be read.
        SweepError: the storage cannot be read.
        ConfigError: the price list is damaged, or --larger-gpu cannot be compared.
    """
    settings, states = sweep.settings, cell_states(sweep)
    room, refusal = _room(sweep)
    nodes, prices = None if room is None else room.nodes, read_prices()
    kinds: dict[str, list[_Placed]] = {}
    shares: list[Share] = []
    for gpu, cells in by_gpu(sweep, sweep.cells).items():
        own = _placed(sweep, gpu, cells, states)
        group = Group(
            workers=settings.workers, gpu=gpu,
            gpus=settings.gpus_per_worker, cpus=settings.cpus_per_worker,
        )  # fmt: skip
        shares.append(
            Share(
                gpu=gpu,
                open=sum(each.open for each in own),
                seconds=_seconds(own),
                groups=None if room is None else room.groups_of(gpu),
                rate=None if prices is None else prices.rate(group, nodes),
            )
        )
        for each in own:
            kinds.setdefault(condition(each.cell).partition(" S=")[0], []).append(each)
    return Forecast(
        states={state: sum(each == state for each in states.values()) for state in STATES},
        kinds=[_kind(title, own) for title, own in kinds.items()],
        shares=shares,
        in_turn=settings.max_concurrent is not None,
        workers=settings.workers,
        gpu=settings.gpu,
        larger_gpu=settings.larger_gpu,
        gpus_per_worker=settings.gpus_per_worker,
        at_once=None if room is None else room.at_once,
        refusal=refusal,
        prices=prices,
    )


@dataclass(frozen=True)
class _Placed:
    """A cell, where it is placed, and what it takes."""

    cell: Cell
    gpu: str | None
    open: bool
    need: Need
    taken: Taken


def _placed(
    sweep: Sweep, gpu: str | None, cells: Sequence[Cell], states: Mapping[str, State]
) -> list[_Placed]:
    """Cells on one kind of GPU."""
    workers = sweep.settings.workers
    recorded = read_recorded(sweep.ledger.store, cells, sweep.dataset, gpu or "CPU", workers)
    return [
        _Placed(
            cell,
            gpu,
            states[cell.key] != "finished",
            estimate(cell.config, sweep.dataset, workers, gpu is not None),
            recorded.of(cell.config),
        )
        for cell in cells
    ]


def _kind(title: str, cells: Sequence[_Placed]) -> Kind:
    return Kind(
        title=title,
        cells=[each.cell for each in cells],
        open=[each.cell for each in cells if each.open],
        gpus=list(dict.fromkeys(each.gpu for each in cells)),
        need=max((each.need for each in cells), key=lambda need: need.memory_gib),
        taken=max((each.taken for each in cells), key=lambda taken: taken.cells),
        seconds=_seconds(cells),
    )


def _seconds(cells: Sequence[_Placed]) -> float | None:
    """Expected of those that are open, one after the other."""
    return added(each.taken.seconds for each in cells if each.open)


def _room(sweep: Sweep) -> tuple[Found | None, str]:
    """How many cells fit at a time, and why some fit nowhere."""
    room: Found | None = None
    try:
        room = find_room(sweep, sweep.cells)
        check_memory(sweep, sweep.cells)
    except SweepError as error:
        return room, str(error)
    return room, ""
