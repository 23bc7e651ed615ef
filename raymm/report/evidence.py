"""What is worked out from a sweep's record once, for all parts of its report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from raymm.report.collapse import collapsed
from raymm.report.combinations import combinations_frame
from raymm.report.comparisons import comparisons_frame
from raymm.report.grids import Grid, curve_means
from raymm.report.names import MAIN_METRICS, model_place
from raymm.report.record import SweepRecord
from raymm.report.sample_tests import bootstrap_frame
from raymm.report.verdicts import Verdicts


@dataclass(frozen=True)
class Evidence:
    """A sweep's record and what follows from it.

    Attributes:
        comparisons, bootstrap, combinations: as of the functions of those names.
    """

    record: SweepRecord
    comparisons: pd.DataFrame
    bootstrap: pd.DataFrame
    combinations: pd.DataFrame
    verdicts: Verdicts

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets."""
        return [str(name) for name in self.record.cells["dataset"].unique()]

    @property
    def models(self) -> list[str]:
        """All models, in their order."""
        return sorted(map(str, self.record.cells["model"].unique()), key=model_place)

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known to read the numbers: the record's notes, and models that collapsed."""
        return (*self.record.notes, *collapsed(self.record.cells))

    def of(self, dataset: str) -> pd.DataFrame:
        """The cells of a data set."""
        cells = self.record.cells
        return cells[cells["dataset"] == dataset]

    def leader(self, dataset: str, grid: Grid, sparsity: float) -> str | None:
        """The model whose lead over all others that have the metric holds; None if there is none.

        Args:
            sparsity: one of the grid's, or `raymm.report.verdicts.WHOLE_CURVE`.
        """
        there = [model for model in grid.models if (model, sparsity) in grid.entries]
        if math.isnan(sparsity):
            there = list(curve_means(self.of(dataset), grid.metric))
        return self.verdicts.leader(dataset, grid.metric, sparsity, there)


def weigh(record: SweepRecord, advance: Callable[[int], None] = lambda cells: None) -> Evidence:
    """Work out tests and means.

    Args:
        advance: called with the number of cells whose samples have been resampled since the last
            call; that takes the time.
    """
    metrics = [metric for metric in MAIN_METRICS if metric in record.cells]
    comparisons = comparisons_frame(record.cells, metrics)
    bootstrap = bootstrap_frame(record.cells, record.samples, metrics, advance)
    return Evidence(
        record=record,
        comparisons=comparisons,
        bootstrap=bootstrap,
        combinations=combinations_frame(record.cells, record.samples),
        verdicts=Verdicts(comparisons, bootstrap),
    )
