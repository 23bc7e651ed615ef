"""Results as tables: a row per cell, and a row per condition and metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raymm.errors import SweepError
from raymm.report.bootstrap import ROUNDS, resample_weights, seeds_interval
from raymm.report.names import model_place, ordered_metrics
from raymm.report.statistics import interval, mean_std
from raymm.report.variants import line_names
from raymm.sweep.cells import CellResult

CELL_COLUMNS = (
    "dataset",
    "model",
    "sparsity",
    "seed",
    "cell_key",
    "status",
    "reason",
    "mask_seed",
    "split_seed",
)
SUMMARY_COLUMNS = (
    "dataset", "model", "sparsity", "metric", "mean", "std", "n", "ci_low", "ci_high",
    "bootstrap_low", "bootstrap_high",
)  # fmt: skip


def ordered_results(results: Sequence[CellResult]) -> list[CellResult]:
    """Results by data set, model, sparsity and seed, whatever order they came in.

    Raises:
        SweepError: two results stand for the same condition and seeds: no table tells them apart.
    """
    by_place: dict[tuple[str, tuple[int, str], float, int, int, int], CellResult] = {}
    names = line_names(results)
    for result in results:
        cell = result.cell
        place = (
            result.dataset,
            model_place(names[result.key]),
            cell.data.sparsity,
            cell.train.seed,
            cell.data.mask_seed,
            cell.data.split_seed,
        )
        if place in by_place:
            raise SweepError(
                f"Cells {by_place[place].key} and {result.key} both stand for {result.dataset}, "
                f"{cell.model.name}, sparsity {cell.data.sparsity}, seed {cell.train.seed}. "
                "Report cells of different settings separately, under another --name."
            )
        by_place[place] = result
    return [by_place[place] for place in sorted(by_place)]


def cells_frame(results: Sequence[CellResult]) -> pd.DataFrame:
    """A row per cell: `CELL_COLUMNS`, then the metrics in their stable order, nan where absent.

    "model" is the name of the cell's line: the model's, and what tells its cells apart where that
    is not enough (`raymm.report.variants`).

    Raises:
        SweepError: two results stand for the same condition and seeds.
    """
    results = ordered_results(results)
    metrics = ordered_metrics(name for result in results for name in result.metrics)
    names = line_names(results)
    rows = [
        (
            result.dataset,
            names[result.key],
            result.cell.data.sparsity,
            result.cell.train.seed,
            result.key,
            result.status,
            result.reason,
            result.cell.data.mask_seed,
            result.cell.data.split_seed,
            *(_number(result.metrics.get(name)) for name in metrics),
        )
        for result in results
    ]
    return pd.DataFrame(rows, columns=[*CELL_COLUMNS, *metrics])


def _number(value: object) -> object:
    """A metric as a number, or as it is; `raymm.report.record.only_numbers` says what is none."""
    return math.nan if value is None else value


def metric_columns(cells: pd.DataFrame) -> list[str]:
    """The metrics among the columns of `cells_frame`."""
    return [str(column) for column in cells.columns if column not in CELL_COLUMNS]


def conditions(cells: pd.DataFrame) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    """Data set, model, sparsity and the finished cells of each condition, in the cells' order."""
    finished = cells[cells["status"] == "finished"]
    for place, rows in finished.groupby(["dataset", "model", "sparsity"], sort=False):
        dataset, model, sparsity = cast(tuple[str, str, float], place)
        yield dataset, model, sparsity, rows


def summary_frame(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per condition and metric: `SUMMARY_COLUMNS`, over the seeds that have the metric.

    `std` has ddof = 1; `ci_low` and `ci_high` are Student's 95 % interval of the mean. All three are
    nan with one seed. `bootstrap_low` and `bootstrap_high` are the interval by resampled seeds, nan
    with fewer than `SEEDS_TO_RESAMPLE`, of which it cannot be right. A metric that no seed of a
    condition has makes no row.
    """
    rows = []
    drawn: dict[int, NDArray[np.float32]] = {}
    for dataset, model, sparsity, seeds in conditions(cells):
        for metric in metric_columns(cells):
            values = seeds[metric].dropna().to_list()
            if values:
                n = len(values)
                if n not in drawn:
                    drawn[n] = resample_weights(n, ROUNDS, np.random.default_rng(n))
                spread = (
                    *mean_std(values), n, *interval(values), *seeds_interval(values, drawn[n]),
                )  # fmt: skip
                rows.append((dataset, model, sparsity, metric, *spread))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
