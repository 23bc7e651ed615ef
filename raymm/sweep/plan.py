"""What a sweep is going to do, checked before anything starts: folders, what is finished, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from raymm.data.dataset import Dataset
from raymm.data.feasible import check_feasible
from raymm.data.sources import load_dataset
from raymm.errors import DataError, SweepError
from raymm.storage.address import is_remote, joined
from raymm.storage.mirror import publish, working_folder
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.ledger import Ledger
from raymm.sweep.places import check_folder, check_storage, claim_folder, sweep_name
from raymm.sweep.settings import SweepSettings
from raymm.tracking import RunRecord
from raymm.training.cluster import groups_on_this_machine


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep and what is known of it before it runs.

    Attributes:
        cells: all of them, in the order they are to be trained.
        finished: results of those that are finished already, by key.
        folder: where the results go; a working copy, if that is an address.
        runs: of the cells that are not finished, as far as they had one when this was prepared, by key.
    """

    name: str
    settings: SweepSettings
    dataset: Dataset
    cells: Sequence[Cell]
    finished: Mapping[str, CellResult]
    folder: Path
    ledger: Ledger
    runs: Mapping[str, RunRecord] = field(default_factory=dict)

    @property
    def missing(self) -> list[Cell]:
        """The cells that are still to be trained."""
        return [cell for cell in self.cells if cell.key not in self.finished]

    @property
    def storage(self) -> str:
        """Root of the cells' folders: absolute path or fsspec address."""
        given = self.settings.storage
        return given.rstrip("/") if is_remote(given) else str(Path(given).absolute())


def prepare_sweep(settings: SweepSettings, dataset: Dataset | None = None) -> Sweep:
    """Load the data and find out what there is to do. Starts nothing and writes nothing.

    A plan may be made on a machine that could not hold the sweep; `print_plan` says so.

    Args:
        settings: of the sweep.
        dataset: the data, where they are not to be loaded as the settings say.

    Raises:
        RaymmError: a setting, the data, the results folder or the tracking store is at fault.
    """
    if dataset is None:
        dataset = load_dataset(settings.dataset, settings.modalities, settings.label)
    cells = settings.expand(dataset)
    check_conditions(dataset, cells)
    name = sweep_name(settings, dataset, cells)
    folder = working_folder(joined(settings.results_dir, name))
    check_folder(folder, settings, cells)
    if settings.address is None and settings.gpu is None and not settings.plan:
        groups_on_this_machine(settings.workers, settings.cpus_per_worker)
    ledger = Ledger(settings.tracking_uri, dataset.name, artifacts=settings.artifacts)
    runs = ledger.seen(cells)
    finished = scored_on_test(ledger.finished(cells, runs))
    return Sweep(
        name=name,
        settings=settings,
        dataset=dataset,
        cells=cells,
        finished=finished,
        runs={key: run for key, run in runs.items() if key not in finished},
        folder=folder,
        ledger=ledger,
    )


def check_conditions(dataset: Dataset, cells: Sequence[Cell]) -> None:
    """Refuse what would stop each cell of a condition: they share mask and splits.

    Raises:
        DataError: at some sparsity there is nothing to train on or to score; says which sparsities
            those are, and how to leave them out.
    """
    troubles: dict[float, DataError] = {}
    conditions = {cell.config.data for cell in cells}
    for condition in sorted(conditions, key=lambda data: data.sparsity):
        try:
            check_feasible(dataset, condition)
        except DataError as error:
            troubles.setdefault(condition.sparsity, error)
    if not troubles:
        return
    first = next(iter(troubles.values()))
    fine = sorted({condition.sparsity for condition in conditions} - troubles.keys())
    if not fine:
        raise first
    named = ", ".join(f"{sparsity:g}" for sparsity in troubles)
    rest = " ".join(f"{sparsity:g}" for sparsity in fine)
    raise DataError(
        f"Of the sparsities, {named} cannot be trained on; nothing was started. {first} All others "
        f"can: leave {'it' if len(troubles) == 1 else 'them'} out with --sparsities {rest}"
    ) from first


def scored_on_test(results: Mapping[str, CellResult]) -> dict[str, CellResult]:
    """Those that need nothing more; a search leaves cells that only validation has scored."""
    return {key: result for key, result in results.items() if result.scored("test")}


def claim_places(sweep: Sweep, cells: Sequence[Cell] | None = None) -> None:
    """Make sure that the sweep's cells can be placed and that it can write where it will have to,
    and make the results folder its own.

    Args:
        cells: that may have to be trained; without it those that are missing.

    Raises:
        SweepError: a cell fits nowhere, or the storage or the results folder cannot be written.
        StorageError: likewise, of results at an address.
        TrackingError: MLflow's database cannot be written.
    """
    from raymm.sweep.room import check_room

    check_room(sweep, sweep.missing if cells is None else cells)
    check_storage(sweep.storage)
    sweep.ledger.store.touch()
    claim_folder(sweep.folder, sweep.name, sweep.settings, sweep.cells)
    publish(sweep.folder)


def print_plan(sweep: Sweep, console: Console) -> None:
    """Show what the sweep would do. Starts nothing and writes nothing."""
    settings = sweep.settings
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    config = sweep.cells[0].config
    samples, modalities = len(sweep.dataset.ids), [m.name for m in sweep.dataset.modalities]
    table.add_row("sweep", sweep.name)
    table.add_row("data", f"{sweep.dataset.name}: {samples:,} samples of {', '.join(modalities)}")
    table.add_row(
        "cells",
        f"{len(sweep.cells)}: {settings.summary()}",
    )
    table.add_row("", f"{len(sweep.finished)} finished, {len(sweep.missing)} to train")
    table.add_row(
        "training",
        f"{config.train.epochs} epochs, batch {config.train.batch_size}, width "
        f"{config.model.width}, {config.model.depth} blocks, {config.train.precision}",
    )
    accelerator = f"1 {settings.gpu} GPU and " if settings.gpu else ""
    table.add_row(
        "a cell needs",
        f"{settings.workers} worker(s) with {accelerator}{settings.cpus_per_worker:g} CPU each",
    )
    table.add_row("at a time", at_a_time(sweep))
    table.add_row("results", str(sweep.folder))
    table.add_row("checkpoints", sweep.storage)
    table.add_row("MLflow", sweep.ledger.ui_command)
    console.print(table)


def at_a_time(sweep: Sweep) -> str:
    """How many cells train at the same time, as far as is known before Ray is asked."""
    settings = sweep.settings
    if settings.address is not None:
        most = f", at most {settings.max_concurrent}" if settings.max_concurrent else ""
        return f"as many cells as the cluster at {settings.address} can hold{most}"
    if settings.gpu is not None:
        return "as many cells as this machine's GPUs can hold"
    try:
        fit = groups_on_this_machine(settings.workers, settings.cpus_per_worker)
    except SweepError as error:
        return f"does not fit on this machine. {error}"
    groups = min(fit, settings.max_concurrent or fit, max(1, len(sweep.missing)))
    return f"{groups} cell(s), on this machine's CPUs"
