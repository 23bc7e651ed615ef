"""What a running sweep takes and has taken: workers, memory, time, money, storage. From its record.

The ledger alone is asked, so that it can be told from any machine: what is not recorded yet of a kind
of cell, here or by another sweep on the same hardware, is not known.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from raymm.sweep.prices import GPU_MEMORY_GIB, Instance, Prices
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
        used_s, left_s: of all its cells one after the other: so far, and still to come.
    """

    title: str
    cells: int
    parameters: int | None
    memory_gib: float | None
    seconds: float | None
    used_s: float
    left_s: float | None
    finished: int
    running: int


@dataclass(frozen=True)
class Costs:
    """What a sweep takes.

    Attributes:
        kinds: its models.
        workers: of a cell.
        accelerator: kind of GPU of a worker, or "CPU".
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
        return sum(kind.used_s for kind in self.kinds) * self.workers / 3600

    @property
    def all_h(self) -> float | None:
        """Hours of all workers in all; None while that of some kind is not known."""
        left = [kind.left_s for kind in self.kinds]
        if None in left:
            return None
        return self.used_h + sum(s for s in left if s is not None) * self.workers / 3600

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
    same = {ACCELERATOR: accelerator, WORKERS: workers}
    measured = [r for r in recorded if is_measured(r) and same.items() <= r.tags.items()]
    counts: dict[str, int] = {}
    for title, cells in expected.items():
        counts[_model(title)] = counts.get(_model(title), 0) + cells
    runs = {title: [r for r in own if _model(r.tags[CONDITION]) == title] for title in counts}
    return Costs(
        kinds=[_kind(title, cells, runs[title], measured) for title, cells in counts.items()],
        workers=int(workers),
        accelerator=accelerator,
        gpu_share=float(how.get(GPU_SHARE, 1)),
        cpus=float(how.get(CPUS, 1)),
        is_cluster=how.get(CLUSTER) == "true",
    )


def _model(condition: str) -> str:
    return condition.partition(" S=")[0]


def _kind(title: str, cells: int, own: Sequence[RunRecord], measured: Sequence[RunRecord]) -> Kind:
    alike = {(kind_of(run.params), run.tags.get(DATASET)) for run in own}
    like = [run for run in measured if (kind_of(run.params), run.tags.get(DATASET)) in alike]
    seconds = statistics.median(sum(parts_s(run)) for run in like) if like else None
    finished = [run for run in own if is_measured(run)]
    running = [run for run in own if run.status == "RUNNING"]
    begun = sum(int(r.tags.get(EPOCH, 0)) / int(r.params["train.epochs"]) for r in running)
    used_s = sum(sum(parts_s(run)) for run in finished) + (seconds or 0.0) * begun
    left = max(0.0, cells - len(finished) - begun)
    return Kind(
        title=title,
        cells=max(cells, len(own)),
        parameters=max((int(r.metrics["parameters"]) for r in like if _counted(r)), default=None),
        memory_gib=max((run.metrics["memory/peak_gib"] for run in like), default=None),
        seconds=seconds,
        used_s=used_s,
        left_s=0.0 if not left else None if seconds is None else seconds * left,
        finished=len(finished),
        running=len(running),
    )


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
        table.add_row(kind.title, *row, *([fit] if with_fit else []))
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
        table.add_row("cost", _cost(costs, gpu, prices))
    besides = (
        f", {costs.training_gb * 1000:,.1f} MB of checkpoints now" if costs.training_gb else ""
    )
    weights = f"{costs.finished_gb * 1000:,.1f} MB of weights in the end"
    table.add_row("storage", weights + besides if costs.finished_gb else "not known yet")
    return table


def _about(hours: float | None) -> str:
    return "a number not known yet of" if hours is None else f"about {hours:.2g}"


def _cost(costs: Costs, gpu: str | None, prices: Prices | None) -> str:
    if prices is None:
        return "not known: cluster/prices.toml is not here"
    per_worker = (gpu, costs.gpu_share, costs.cpus)
    instance = prices.cheapest(*per_worker)
    if instance is None:
        return f"not known: cluster/prices.toml has no machine for a worker ({costs.accelerator})"
    held = instance.holds(*per_worker)
    used, in_all = (_price(instance, hours, held) for hours in (costs.used_h, costs.all_h))
    return (
        f"{used} so far, {in_all} in all ({prices.currency} on demand / spot), on {instance.name} "
        f"fully used; {prices.note}"
    )


def _price(instance: Instance, hours: float | None, held: int) -> str:
    if hours is None:
        return "not known yet"
    return f"{hours / held * instance.on_demand:,.2f} / {hours / held * instance.spot:,.2f}"
