"""What like cells have taken: time and memory, as the ledger has them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raymm.config import CellConfig, to_dict
from raymm.data.dataset import Dataset
from raymm.sweep.cells import Cell
from raymm.sweep.tags import ACCELERATOR, DATASET, KIND, WORKERS, params
from raymm.sweep.work import relative_work
from raymm.tracking import RunRecord, Store

AROUND_S = 60.0
"""Most that a cell is taken to have spent on what is not training, unless it trained longer."""
SAME = ("train.batch_size", "train.precision")
ASKED = ("model.name", "model.width", "model.depth", *SAME)
"""Parameters that MLflow is asked by; in the rest of them like cells agree too."""
MOST = 200
"""Cells of a kind that an expectation is made of."""
Kind = frozenset[tuple[str, str]]


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


@dataclass(frozen=True)
class _Like:
    """A cell that has run: its work beside others, and what it took."""

    work: float
    train_s: float
    rest_s: float
    memory_gib: float


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
        self._runs: dict[Kind, list[RunRecord]] = {}
        self._like: dict[Kind, list[_Like]] = {}
        self._taken: dict[tuple[object, ...], Taken] = {}
        where = _where(dataset, accelerator, workers)
        for run in runs:
            if is_measured(run) and where.items() <= run.tags.items():
                self._runs.setdefault(kind_of(run.params), []).append(run)

    def of(self, cell: CellConfig) -> Taken:
        """What like cells have taken."""
        # Cells that differ by their seed alone, of which there may be thousands, take the same.
        train = cell.train
        asked = (cell.model, train.batch_size, train.precision, train.epochs, cell.data.sparsity)
        if asked not in self._taken:
            self._taken[asked] = self._of(cell)
        return self._taken[asked]

    def _of(self, cell: CellConfig) -> Taken:
        like = self._likes(cell)
        if not like:
            return Taken(0, None, None)
        work = relative_work(cell, self._dataset)
        return Taken(
            cells=len(like),
            seconds=statistics.median(e.train_s * (work / e.work) + e.rest_s for e in like),
            memory_gib=max(each.memory_gib for each in like),
        )

    def _likes(self, cell: CellConfig) -> list[_Like]:
        kind = kind_of(params(to_dict(cell)))
        if kind not in self._like:
            self._like[kind] = [self._as_like(run, cell) for run in self._runs.get(kind, [])]
        return self._like[kind]

    def _as_like(self, run: RunRecord, cell: CellConfig) -> _Like:
        trained = dataclasses.replace(
            cell,
            data=dataclasses.replace(cell.data, sparsity=float(run.params["data.sparsity"])),
            train=dataclasses.replace(cell.train, epochs=int(run.params["train.epochs"])),
        )
        return _Like(
            relative_work(trained, self._dataset), *parts_s(run), run.metrics["memory/peak_gib"]
        )


def read_recorded(
    store: Store, cells: Iterable[Cell], dataset: Dataset, accelerator: str, workers: int
) -> Recorded:
    """The newest finished cells of a ledger that may be like some cells: `MOST` for each kind.

    Raises:
        TrackingError: the ledger cannot be read.
    """
    where = [
        f"tags.`{name}` = '{value}'"
        for name, value in {KIND: "cell", **_where(dataset, accelerator, workers)}.items()
    ]
    chosen = {(c.config.model, c.config.train.batch_size, c.config.train.precision) for c in cells}
    asked = {
        (model.name, str(model.width), str(model.depth), str(batch), precision)
        for model, batch, precision in chosen
    }
    runs: list[RunRecord] = []
    for values in sorted(asked):
        like = [f"params.`{n}` = '{value}'" for n, value in zip(ASKED, values, strict=True)]
        having = " and ".join(["attributes.status = 'FINISHED'", *where, *like])
        runs += store.runs(having, most=MOST)
    return Recorded(runs, dataset, accelerator, workers)


def _where(dataset: Dataset, accelerator: str, workers: int) -> dict[str, str]:
    return {DATASET: dataset.name, ACCELERATOR: accelerator, WORKERS: str(workers)}


def parts_s(run: RunRecord) -> tuple[float, float]:
    """Seconds that a finished cell has trained, and those it has spent on all else."""
    train_s = run.metrics["time/train_s"]
    whole_s = ((run.ended_ms or 0) - run.started_ms) / 1000
    # A run that was interrupted has stood still for a time that is nobody's work.
    return train_s, min(max(0.0, whole_s - train_s), max(train_s, AROUND_S))


def is_measured(run: RunRecord) -> bool:
    """Whether a cell is finished, and has said what it took."""
    return run.status == "FINISHED" and {"time/train_s", "memory/peak_gib"} <= run.metrics.keys()


def kind_of(of: Mapping[str, str]) -> Kind:
    """Of a cell's parameters in MLflow, those in which like cells agree."""
    return frozenset(
        (name, value) for name, value in of.items() if name.startswith("model.") or name in SAME
    )
