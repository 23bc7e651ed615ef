"""The plan of a sweep as a person reads it: `--plan`. Fits 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raymm.errors import SweepError
from raymm.sweep.estimate import SLACK
from raymm.sweep.forecast import Forecast, Kind, forecast
from raymm.sweep.plan import Sweep, at_a_time
from raymm.sweep.prices import GPU_MEMORY_GIB, SECONDS_AN_HOUR
from raymm.sweep.progress import duration

STATE_WORDS = {
    "finished": "finished", "resumable": "to resume", "running": "with another driver",
    "failed": "failed before", "new": "new",
}  # fmt: skip
STATE_STYLES = {"finished": "green", "failed": "red", "running": "cyan"}


def show_plan(sweep: Sweep, console: Console) -> None:
    """Show all that is known of a sweep beforehand. Starts nothing and writes nothing.

    Raises:
        SweepError: some cell cannot be placed on this machine or cluster; said after the rest.
        RaymmError: ledger, storage or price list cannot be read.
    """
    with console.status("looking at the ledger, the storage and the cluster"):
        found = forecast(sweep)
    console.print(_facts(sweep, found))
    console.print()
    console.print(needs_table(found))
    console.print()
    console.print(totals_table(sweep, found))
    if found.refusal:
        raise SweepError(found.refusal)


def _rows() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    return table


def _facts(sweep: Sweep, found: Forecast) -> Table:
    table, settings, config = _rows(), sweep.settings, sweep.cells[0].config
    samples, modalities = len(sweep.dataset.ids), [m.name for m in sweep.dataset.modalities]
    table.add_row("sweep", sweep.name)
    table.add_row("data", f"{sweep.dataset.name}: {samples:,} samples of {', '.join(modalities)}")
    table.add_row("cells", f"{len(sweep.cells)}: {settings.summary()}")
    states = [
        Text(f"{count} {STATE_WORDS[state]}", style=STATE_STYLES.get(state, ""))
        for state, count in found.states.items()
        if count
    ]
    table.add_row("", Text(", ").join(states))
    table.add_row(
        "training",
        f"{config.train.epochs} epochs, batch {config.train.batch_size}, width "
        f"{config.model.width}, {config.model.depth} blocks, {config.train.precision}",
    )
    share = "a GPU" if settings.gpus_per_worker == 1 else f"{settings.gpus_per_worker:g} of a GPU"
    gpu = f"{share} of kind {settings.gpu} and " if settings.gpu else ""
    table.add_row(
        "a cell needs",
        f"{settings.workers} worker(s) with {gpu}{settings.cpus_per_worker:g} CPU each",
    )
    return table


def needs_table(found: Forecast) -> Table:
    """What the cells of each model take."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", style="bold")
    headings = ("to train", "parameters", "memory/worker", "time/cell", "in all")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    if found.gpu in GPU_MEMORY_GIB:
        table.add_column(f"fits {found.gpu}", justify="right", no_wrap=True)
    for kind in found.kinds:
        row = [
            kind.title,
            f"{len(kind.open)} of {len(kind.cells)}",
            f"{kind.need.parameters:,}",
            f"{kind.memory_gib:.2f} GiB{' ' if kind.taken.memory_gib else '*'}",
            _each(kind),
            "-" if kind.seconds is None else duration(kind.seconds),
        ]
        if found.gpu in GPU_MEMORY_GIB:
            row.append(_fits(found, kind))
        table.add_row(*row)
    return table


def _fits(found: Forecast, kind: Kind) -> str:
    """Whether a model fits --gpu; where --larger-gpu is given too, on which it is placed."""
    if found.larger_gpu is not None:
        larger = found.larger_gpu if len(kind.gpus) == 1 else f"some: {found.larger_gpu}"
        return larger if found.larger_gpu in kind.gpus else "yes"
    fits = found.fits(kind)
    return "NO" if fits == "no" else str(fits)


def _each(kind: Kind) -> str:
    if kind.seconds is None or not kind.open:
        return "-"
    return duration(kind.seconds / len(kind.open))


def totals_table(sweep: Sweep, found: Forecast) -> Table:
    """What the sweep takes in all, and where everything is."""
    table, settings = _rows(), sweep.settings
    if any(kind.taken.memory_gib is None for kind in found.kinds):
        table.add_row("memory", f"* estimated; may be more by a factor of {SLACK:g}")
    if found.gpu in GPU_MEMORY_GIB:
        table.add_row(f"a {found.gpu} has", f"{GPU_MEMORY_GIB[found.gpu or '']:g} GiB")
    room = f"{found.at_once} cell(s)" if found.at_once else at_a_time(sweep)
    table.add_row(
        "at a time", "no cell can be placed" if found.at_once is None and found.refusal else room
    )
    table.add_row("expected", _expected(found))
    if settings.gpu is not None or settings.address is not None:
        table.add_row("cost", _cost(found))
    besides = f", and {_gb(found.training_gb)} while it runs" if found.training_gb else ""
    table.add_row("storage", f"{_gb(found.finished_gb)} of weights in the end{besides}")
    table.add_row("results", str(sweep.folder))
    table.add_row("checkpoints", sweep.storage)
    table.add_row("MLflow", sweep.ledger.ui_command)
    return table


def _expected(found: Forecast) -> str:
    if not any(kind.open for kind in found.kinds):
        return "nothing is left to train"
    if found.seconds is None or found.worker_hours is None:
        unknown = ", ".join(k.title for k in found.kinds if k.open and k.seconds is None)
        return (
            f"not known: no cell like those of {unknown} is recorded on this hardware. "
            "--calibrate trains one of each model for 2 epochs to find out"
        )
    unit = "GPU-hours" if found.gpu else "CPU worker-hours"
    hours = f"{found.worker_hours:.2g} {unit}{_by_gpu(found)}"
    if found.wall_s is None:
        return hours
    return f"about {duration(found.wall_s)}, {hours}; by the time like cells have taken"


def _by_gpu(found: Forecast) -> str:
    """The hours on each kind of GPU, where there are several."""
    hours = [
        f"{share.seconds * found.workers / SECONDS_AN_HOUR:.2g} {share.gpu}"
        for share in found.shares
        if share.open and share.seconds is not None
    ]
    return f" ({', '.join(hours)})" if len(hours) > 1 else ""


def _cost(found: Forecast) -> str:
    if found.prices is None:
        return "not known: cluster/prices.toml is not here"
    busy = [share for share in found.shares if share.open] or found.shares
    rates = [share.rate for share in busy if share.rate is not None]
    if len(rates) < len(busy):
        asked = ", ".join(share.gpu or "none" for share in busy if share.rate is None)
        return f"not known: cluster/prices.toml has no machine for a worker (--gpu {asked})"
    machines = {rate.machine.name: rate.machine for rate in rates}
    on_demand, spot = found.cost(spot=False), found.cost(spot=True)
    if on_demand is None or spot is None:
        each = [
            f"{name} is {machine.on_demand:g} {found.prices.currency} an hour"
            for name, machine in machines.items()
        ]
        return f"{', '.join(each)}; {found.prices.note}"
    return (
        f"{on_demand:,.2f} {found.prices.currency} on demand, {spot:,.2f} spot, on "
        f"{' and '.join(machines)} fully used; {found.prices.note}"
    )


def _gb(gigabytes: float | None) -> str:
    value = gigabytes or 0.0
    return f"{value:,.1f} GB" if value >= 1 else f"{value * 1000:,.1f} MB"
