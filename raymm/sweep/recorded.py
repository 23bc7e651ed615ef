"""What like cells have taken: time and memory, as the ledger has them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raymm.config import CellConfig, to_dict
from raymm.data.dataset import Dataset
from raymm.sweep.tags import ACCELERATOR, DATASET, WORKERS, params
from raymm.sweep.work import relative_work
from raymm.tracking import RunRecord

AROUND_S = 60.0
"""Most that a cell is taken to have spent on what is not training, unless it trained longer."""
SAME = ("train.batch_size", "train.precision")


@dataclass(frozen=True)
class Taken:
    """What like cells took, and how many of them there are.

    Attributes:
        seconds: expected of the cell in question, from its start to its end; None if none is known.
        memory_gib: most that a worker of any of them had at its peak.
    """

    cells: int
    seconds: float | None
    memory_gib: float | None


class Recorded:
    """Finished cells of a ledger, to look up like ones.

    Like is a cell of the same data set, architecture, batch size and precision, trained by as many
    workers on the same kind of accelerator. It may differ in all else: seed, learning rate, number
    of epochs and sparsity, for which its time is scaled by the work there is.

    Args:
        runs: of cells.
        accelerator: kind of GPU, or "CPU".
    """

    def __init__(
        self, runs: Iterable[RunRecord], dataset: Dataset, accelerator: str, workers: int
    ) -> None:
        self._dataset = dataset
        where = {DATASET: dataset.name, ACCELERATOR: accelerator, WORKERS: str(workers)}
        self._runs = [run for run in runs if is_measured(run) and where.items() <= run.tags.items()]

    def of(self, cell: CellConfig) -> Taken:
        """What like cells have taken."""
        like = [run for run in self._runs if kind_of(run.params) == kind_of(params(to_dict(cell)))]
        if not like:
            return Taken(0, None, None)
        return Taken(
            cells=len(like),
            seconds=statistics.median(self._scaled(run, cell) for run in like),
            memory_gib=max(run.metrics["memory/peak_gib"] for run in like),
        )

    def _scaled(self, run: RunRecord, cell: CellConfig) -> float:
        """Seconds that a cell would take at the speed of a run."""
        trained = dataclasses.replace(
            cell,
            data=dataclasses.replace(cell.data, sparsity=float(run.params["data.sparsity"])),
            train=dataclasses.replace(cell.train, epochs=int(run.params["train.epochs"])),
        )
        ratio = relative_work(cell, self._dataset) / relative_work(trained, self._dataset)
        train_s, rest_s = parts_s(run)
        return train_s * ratio + rest_s


def parts_s(run: RunRecord) -> tuple[float, float]:
    """Seconds that a finished cell has trained, and those it has spent on all else."""
    train_s = run.metrics["time/train_s"]
    whole_s = ((run.ended_ms or 0) - run.started_ms) / 1000
    # A run that was interrupted has stood still for a time that is nobody's work.
    return train_s, min(max(0.0, whole_s - train_s), max(train_s, AROUND_S))


def is_measured(run: RunRecord) -> bool:
    """Whether a cell is finished, and has said what it took."""
    return run.status == "FINISHED" and {"time/train_s", "memory/peak_gib"} <= run.metrics.keys()


def kind_of(of: Mapping[str, str]) -> dict[str, str]:
    """Of a cell's parameters in MLflow, those in which like cells agree."""
    return {name: v for name, v in of.items() if name.startswith("model.") or name in SAME}
