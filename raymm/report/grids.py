"""One metric of one data set as a grid: models down, sparsities across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from raymm.report.comparisons import curve_heights
from raymm.report.names import better, model_place, number
from raymm.report.statistics import mean_std
from raymm.report.tables import conditions


@dataclass(frozen=True)
class Entry:
    """A metric's mean and standard deviation over `seeds` seeds (std is nan with one)."""

    mean: float
    std: float
    seeds: int

    def __str__(self) -> str:
        """As "0.912 ±0.010", or "0.912" where there is no spread."""
        spread = f" ±{number(self.std, like=self.mean)}" if self.seeds > 1 else ""
        return number(self.mean) + spread


@dataclass(frozen=True)
class Grid:
    """Entries by (model, sparsity), of those conditions that have the metric."""

    metric: str
    models: tuple[str, ...]
    sparsities: tuple[float, ...]
    entries: Mapping[tuple[str, float], Entry]

    def best(self, sparsity: float) -> list[str]:
        """Models by mean at a sparsity, the best first; none where no direction is better."""
        direction = better(self.metric)
        here = [model for model in self.models if (model, sparsity) in self.entries]
        means = {model: self.entries[model, sparsity].mean for model in here}
        if direction is None:
            return []
        return sorted(here, key=lambda m: means[m], reverse=direction == "higher")

    def leads(self, model: str, sparsity: float) -> bool:
        """Whether a model's mean is the best of several at a sparsity, alone or with equals."""
        order = self.best(sparsity)
        if len(order) < 2 or model not in order:
            return False
        return self.entries[model, sparsity].mean == self.entries[order[0], sparsity].mean


def metric_grid(cells: pd.DataFrame, dataset: str, metric: str) -> Grid | None:
    """The grid of a metric over the finished cells of a data set; None if no cell has the metric.

    Models and sparsities are those of all the data set's cells: what failed shows as a hole.
    """
    cells = cells[cells["dataset"] == dataset]
    if metric not in cells:
        return None
    entries = {}
    for _, model, sparsity, rows in conditions(cells):
        values = rows[metric].dropna().to_list()
        if values:
            entries[model, sparsity] = Entry(*mean_std(values), len(values))
    models = sorted(cells["model"].unique(), key=model_place)
    sparsities = sorted(float(sparsity) for sparsity in cells["sparsity"].unique())
    return Grid(metric, tuple(models), tuple(sparsities), entries) if entries else None


def seeds_of(cells: pd.DataFrame) -> tuple[int, int]:
    """Fewest and most finished seeds of the conditions in `cells`; (0, 0) if none is finished."""
    counts = [len(rows) for *_, rows in conditions(cells)]
    return min(counts, default=0), max(counts, default=0)


def curve_means(cells: pd.DataFrame, metric: str) -> dict[str, Entry]:
    """Mean over sparsities per model, of the seeds with whole curves, for one data set's cells."""
    heights = curve_heights(cells, metric)
    by_model = {str(model): rows[metric].to_list() for model, rows in heights.groupby("model")}
    return {model: Entry(*mean_std(values), len(values)) for model, values in by_model.items()}
