"""What a running sweep takes and has taken: workers, memory, time, money, storage. From its record.

The ledger alone is asked, so that it can be told from any machine: what is not recorded yet of a kind
of cell, here or by another sweep on the same hardware, is not known.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from raymm.sweep.prices import GPU_MEMORY_GIB, SECONDS_AN_HOUR, Group, Prices, Rate
from raymm.sweep.progress import duration
from raymm.sweep.recorded import is_measured, kind_of, parts_s
from raymm.sweep.tags import (
    ACCELERATOR,
    CLUSTER,
    CONDITION,
    CPUS,
    DATASET,
    EPOCH,
    GPU_SHARE,
    WORKERS,
)
from raymm.tracking import RunRecord
from raymm.training.sizes import CHECKPOINT_BYTES, KEPT, WEIGHT_BYTES

CPU = "CPU"


@dataclass(frozen=True)
class Kind:
    """Cells of one model.

    Attributes:
        memory_gib: the peak of a worker of any like cell.
        used, left: seconds of all its cells one after the other, by the kind of GPU they are trained
            on: so far, and still to come; the latter None if not known.
    """

    title: str
    cells: int
    parameters: int | None
    memory_gib: float | None
    seconds: float | None
    used: Mapping[str, float]
    left: Mapping[str, float] | None
    finished: int
    running: int

    @property
    def used_s(self) -> float:
        """So far."""
        return sum(self.used.values())

    @property
    def left_s(self) -> float | None:
        """Still to come; None if not known."""
        return None if self.left is None else sum(self.left.values())


@dataclass(frozen=True)
class Costs:
    """What a sweep takes.

    Attributes:
        kinds: its models.
        workers: of a cell.
        accelerator: kind of GPU that was asked for, or "CPU"; some models may be on a larger kind.
        gpu_share: GPUs of a worker.
        cpus: CPUs of a worker.
        is_cluster: whether it runs on a cluster, which has its price.
    """

    kinds: Sequence[Kind]
    workers: int
    accelerator: str
    gpu_share: float
    cpus: float
    is_cluster: bool

    @property
    def used_h(self) -> float:
        """Hours of all workers so far."""
        return sum(kind.used_s for kind in self.kinds) * self.workers / SECONDS_AN_HOUR

    @property
    def all_h(self) -> float | None:
        """Hours of all workers in all; None while that of some kind is not known."""
        left = [kind.left_s for kind in self.kinds]
        if None in left:
            return None
        return self.used_h + sum(s for s in left if s is not None) * self.workers / SECONDS_AN_HOUR

    @property
    def finished_gb(self) -> float:
        """Storage of the weights that are kept in the end, as far as is known (10^9 bytes)."""
        return WEIGHT_BYTES * sum((kind.parameters or 0) * kind.cells for kind in self.kinds) / 1e9

    @property
    def training_gb(self) -> float:
        """Storage of the checkpoints of the cells that run now (10^9 bytes)."""
        running = sum((kind.parameters or 0) * kind.running for kind in self.kinds)
        return KEPT * CHECKPOINT_BYTES * running / 1e9

    def fits(self, kind: Kind) -> bool | None:
        """Whether a worker's memory fits its GPU; None where that is not known."""
        have = GPU_MEMORY_GIB.get(self.accelerator)
        if have is None or kind.memory_gib is None:
            return None
        return kind.memory_gib <= have * self.gpu_share


def costs_of(
    sweep: RunRecord,
    expected: Mapping[str, int],
    own: Sequence[RunRecord],
    recorded: Sequence[RunRecord],
) -> Costs:
    """What a sweep takes, from its record.

    Args:
        expected: cells of each of its conditions.
        own: the runs of its cells.
        recorded: of all cells in the ledger.
    """
    how = sweep.tags
    workers, accelerator = how.get(WORKERS, "1"), how.get(ACCELERATOR, CPU)
    measured = [r for r in recorded if is_measured(r) and r.tags.get(WORKERS) == workers]
    counts: dict[str, int] = {}
    for title, cells in expected.items():
        counts[_model(title)] = counts.get(_model(title), 0) + cells
    runs = {title: [r for r in own if _model(r.tags[CONDITION]) == title] for title in counts}
    return Costs(
        kinds=[
            _kind(title, cells, runs[title], measured, accelerator)
            for title, cells in counts.items()
        ],
        workers=int(workers),
        accelerator=accelerator,
        gpu_share=float(how.get(GPU_SHARE, 1)),
        cpus=float(how.get(CPUS, 1)),
        is_cluster=how.get(CLUSTER) == "true",
    )


def _model(condition: str) -> str:
    return condition.partition(" S=")[0]


def _kind(
    title: str, cells: int, own: Sequence[RunRecord], measured: Sequence[RunRecord], asked: str
) -> Kind:
    alike = {_likeness(run, asked) for run in own}
    like = [run for run in measured if _likeness(run, asked) in alike]
    seconds = statistics.median(sum(parts_s(run)) for run in like) if like else None
    finished = [run for run in own if is_measured(run)]
    running = [run for run in own if run.status == "RUNNING"]
    begun = {r.run_id: int(r.tags.get(EPOCH, 0)) / int(r.params["train.epochs"]) for r in running}
    used: dict[str, float] = {}
    spent = [(run, sum(parts_s(run))) for run in finished]
    spent += [(run, (seconds or 0.0) * begun[run.run_id]) for run in running]
    for run, own_s in spent:
        used[_on(run, asked)] = used.get(_on(run, asked), 0.0) + own_s
    left = max(0.0, cells - len(finished) - sum(begun.values()))
    # Those to come are placed as those that have begun.
    places = Counter(_on(run, asked) for run in own) or Counter([asked])
    share = (seconds or 0.0) * left / places.total()
    return Kind(
        title=title,
        cells=max(cells, len(own)),
        parameters=max((int(r.metrics["parameters"]) for r in like if _counted(r)), default=None),
        memory_gib=max((run.metrics["memory/peak_gib"] for run in like), default=None),
        seconds=seconds,
        used=used,
        left=None if left and seconds is None else {on: n * share for on, n in places.items()},
        finished=len(finished),
        running=len(running),
    )


def _on(run: RunRecord, asked: str) -> str:
    """The kind of GPU that a cell is trained on, or "CPU"."""
    return run.tags.get(ACCELERATOR, asked)


def _likeness(run: RunRecord, asked: str) -> tuple[object, ...]:
    """What like cells have in common, beside the number of workers."""
    return kind_of(run.params), run.tags.get(DATASET), _on(run, asked)


def _counted(run: RunRecord) -> bool:
    return "parameters" in run.metrics


def kinds_table(costs: Costs) -> Table:
    """What the cells of each model take."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", style="bold")
    with_fit = costs.accelerator in GPU_MEMORY_GIB
    headings = ["parameters", "memory/worker", "time/cell", "so far", "left"]
    for heading in [*headings, *([f"fits {costs.accelerator}"] if with_fit else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in costs.kinds:
        row = [
            "-" if kind.parameters is None else f"{kind.parameters:,}",
            "-" if kind.memory_gib is None else f"{kind.memory_gib:.2f} GiB",
            "-" if kind.seconds is None else duration(kind.seconds),
            duration(kind.used_s),
            "-" if kind.left_s is None else duration(kind.left_s),
        ]
        fit = {True: "yes", False: "NO", None: "-"}[costs.fits(kind)]
        others = sorted(kind.used.keys() - {costs.accelerator})
        table.add_row(kind.title, *row, *([", ".join(others) or fit] if with_fit else []))
    return table


def totals_table(costs: Costs, prices: Prices | None) -> Table:
    """What the sweep takes in all."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    gpu = None if costs.accelerator == CPU else costs.accelerator
    share = f"{costs.gpu_share:g} {gpu} and " if gpu else ""
    table.add_row("a cell has", f"{costs.workers} worker(s) with {share}{costs.cpus:g} CPU(s) each")
    unit = "GPU-hours" if gpu else "CPU worker-hours"
    table.add_row("so far", f"{costs.used_h:.2g} of {_about(costs.all_h)} {unit}")
    if gpu or costs.is_cluster:
        table.add_row("cost", _cost(costs, prices))
    besides = (
        f", {costs.training_gb * 1000:,.1f} MB of checkpoints now" if costs.training_gb else ""
    )
    weights = f"{costs.finished_gb * 1000:,.1f} MB of weights in the end"
    table.add_row("storage", weights + besides if costs.finished_gb else "not known yet")
    return table


def _about(hours: float | None) -> str:
    return "a number not known yet of" if hours is None else f"about {hours:.2g}"


def _cost(costs: Costs, prices: Prices | None) -> str:
    if prices is None:
        return "not known: cluster/prices.toml is not here"
    rates: dict[str, Rate] = {}
    for on in {costs.accelerator, *(each for kind in costs.kinds for each in kind.used)}:
        group = Group(
            workers=costs.workers, gpu=None if on == CPU else on,
            gpus=costs.gpu_share, cpus=costs.cpus,
        )  # fmt: skip
        rate = prices.rate(group)
        if rate is None:
            return f"not known: cluster/prices.toml has no machine for a worker ({on})"
        rates[on] = rate
    used = [kind.used for kind in costs.kinds]
    left = [kind.left for kind in costs.kinds]
    in_all = None if None in left else [*used, *(each for each in left if each is not None)]
    spent = {on for seconds in in_all or used for on, s in seconds.items() if s}
    machines = sorted({rates[on].machine.name for on in spent or {costs.accelerator}})
    return (
        f"{_price(rates, used)} so far, {_price(rates, in_all)} in all ({prices.currency} on demand "
        f"/ spot), on {' and '.join(machines)} fully used; {prices.note}"
    )


def _price(rates: Mapping[str, Rate], parts: Sequence[Mapping[str, float]] | None) -> str:
    """What seconds of cells by kind of GPU cost, on demand and spot."""
    if parts is None:
        return "not known yet"
    on_demand, spot = (
        sum(rates[on].of(s, spot=spot) for seconds in parts for on, s in seconds.items())
        for spot in (False, True)
    )
    return f"{on_demand:,.2f} / {spot:,.2f}"
