"""`raymm replay RUN`: train a recorded cell again and hold its numbers against the recorded ones.

It is trained in this process, without Ray, in a folder that is thrown away, and recorded nowhere.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from raymm.config import CellConfig, from_dict
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.errors import SweepError, nearest
from raymm.science import SCIENCE_VERSION
from raymm.sweep.apart import apart
from raymm.sweep.cells import Cell, cell_key
from raymm.sweep.ledger import Ledger
from raymm.sweep.tags import ACCELERATOR, CPUS, KEY, KIND, MICRO_BATCHES, SCIENCE, config_of
from raymm.tracking import RunRecord, Store
from raymm.training.sizes import OF_THE_MACHINE

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Compared:
    """A number that was recorded, and what came this time; NaN where one of them is missing."""

    name: str
    recorded: float
    again: float

    @property
    def difference(self) -> float:
        """Absolute, or relative where the number is above 1; 0 for the same infinity or NaN."""
        gap = apart(self.recorded, self.again)
        return gap if math.isinf(gap) else gap / max(1.0, abs(self.recorded))


def find_cell(store: Store, run: str) -> RunRecord:
    """The run of a cell, by run id, cell key, or the run's name.

    Raises:
        SweepError: there is none, several bear the name, or it is not finished.
        TrackingError: the ledger cannot be read.
    """
    cells = store.runs(f"tags.`{KIND}` = 'cell'")
    found = [each for each in cells if run in (each.run_id, each.tags[KEY])]
    found = found or [each for each in cells if each.name == run]
    if not found:
        known = [each.tags[KEY] for each in cells] + [each.name for each in cells]
        raise SweepError(f"There is no cell '{run}' in the ledger: {_some(run, known)}")
    if len(found) > 1:
        keys = ", ".join(each.tags[KEY] for each in found[:10])
        raise SweepError(f"{len(found)} cells are called '{run}'. Give the cell key: {keys}")
    if found[0].status != "FINISHED":
        raise SweepError(
            f"Cell {found[0].tags[KEY]} ({found[0].name}) is not finished "
            f"({found[0].status.lower()}), so there is nothing to hold against."
        )
    if int(found[0].tags[SCIENCE]) != SCIENCE_VERSION:
        raise SweepError(
            f"Cell {found[0].tags[KEY]} was trained by science version {found[0].tags[SCIENCE]}; "
            f"this program is of {SCIENCE_VERSION}, whose numbers mean something else. Check out "
            f"commit {found[0].tags.get('mlflow.source.git.commit', '(unknown)')} to replay it."
        )
    return found[0]


def _some(run: str, known: list[str]) -> str:
    """The nearest of many known names, and how to see all."""
    hint = nearest(run, known).partition("Known:")[0]
    return f"{hint}results/<sweep>/cells.csv and the MLflow UI name them."


def load_for(run: RunRecord, address: str | None = None) -> tuple[CellConfig, Dataset]:
    """A cell's settings, and the data it was trained on.

    Args:
        address: where the data are now, if elsewhere.

    Raises:
        SweepError: the data are not those of the cell.
        DataError: they cannot be read.
    """
    config = from_dict(CellConfig, config_of(run))
    where = address or config.data.dataset
    dataset = load_dataset(where, config.data.modalities, config.data.label)
    if cell_key(config, dataset.fingerprint) != run.tags[KEY]:
        raise SweepError(
            f"The data at {where} are not those that cell {run.tags[KEY]} was trained on (their "
            f"fingerprint is {dataset.fingerprint[:16]}). Give their address with --dataset."
        )
    return config, dataset


def replay(
    ledger: Ledger,
    run: RunRecord,
    config: CellConfig,
    dataset: Dataset,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[Compared]:
    """Train a cell again, and return all its numbers: final metrics, and losses by epoch.

    Args:
        ledger: that the run is in.
        on_epoch: called after each epoch.

    Raises:
        SweepError: it was trained on a GPU, and there is none here.
        TrainingError: it cannot be trained.
    """
    import torch

    from raymm.training.loop import train_cell
    from raymm.training.state import EpochReport

    device = torch.device("cpu" if run.tags.get(ACCELERATOR, "CPU") == "CPU" else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SweepError(
            f"Cell {run.tags[KEY]} was trained on a GPU ({run.tags[ACCELERATOR]}), and this machine "
            "has none that torch can use."
        )
    torch.set_num_threads(max(1, int(float(run.tags.get(CPUS, "1")))))
    recorded = ledger.result(Cell(run.tags[KEY], config), run)
    curve: dict[int, Mapping[str, float]] = {}

    def heard(report: EpochReport) -> bool:
        curve[report.epoch] = report.metrics
        on_epoch(report.epoch)
        return True

    with tempfile.TemporaryDirectory(prefix="raymm-replay-") as folder:
        metrics = train_cell(
            config,
            dataset,
            storage=folder,
            device=device,
            on_epoch=heard,
            score="test" if recorded.scored("test") else "validation",
            micro_batches=int(run.tags.get(MICRO_BATCHES, "1")),
        )
    found = [
        Compared(f"epoch {int(epoch['epoch'])} {name}", epoch[name], again)
        for epoch in recorded.curve
        for name, again in curve.get(int(epoch["epoch"]), {}).items()
        if name.startswith("loss/") and name in epoch
    ]
    names = sorted(recorded.metrics.keys() | metrics.keys())
    found += [
        Compared(name, recorded.metrics.get(name, math.nan), metrics.get(name, math.nan))
        for name in names
        if not name.startswith(OF_THE_MACHINE)
    ]
    return found


def replay_table(found: list[Compared], tolerance: float) -> Table:
    """What was recorded, what came this time, and whether it is the same."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("metric", style="bold", overflow="fold")
    for heading in ("recorded", "again", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("same", no_wrap=True)
    for each in found:
        same = each.difference <= tolerance
        word = Text("yes", style="green") if same else Text("NO", style="bold red")
        gap = f"{each.difference:.1e}" if each.difference else "0"
        table.add_row(each.name, f"{each.recorded:.6g}", f"{each.again:.6g}", gap, word)
    return table
