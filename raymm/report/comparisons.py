"""Differences between models, paired by seed: is one really better than the other?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import cast

import pandas as pd

from raymm.report.names import model_place
from raymm.report.statistics import FEWEST_SEEDS, holm, interval, mean_height, mean_std, paired_p

PAIRED_BY = ["seed", "mask_seed", "split_seed"]
COMPARISON_COLUMNS = (
    "dataset", "metric", "over", "sparsity", "model_a", "model_b",
    "difference", "std", "n", "ci_low", "ci_high", "p", "p_holm",
)  # fmt: skip


def curve_heights(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric's mean over sparsities (area under its curve / width), a row per model and seed.

    A seed counts only if it has the metric at every sparsity of its data set at which any finished
    cell has it: curves over different sparsities have no common measure, and a
    sparsity at which everything failed is nobody's loss.

    Returns:
        Columns dataset, model, `PAIRED_BY`, and the metric.
    """
    rows = []
    for dataset, of_dataset in cells.groupby("dataset", sort=False):
        usable = with_metric(of_dataset, metric)
        sparsities = usable["sparsity"].nunique()
        for place, curve in usable.groupby(["model", *PAIRED_BY], sort=False):
            if len(curve) == sparsities > 1:
                height = mean_height(curve["sparsity"].to_list(), curve[metric].to_list())
                rows.append((dataset, *cast(tuple[str, int, int, int], place), height))
    return pd.DataFrame(rows, columns=["dataset", "model", *PAIRED_BY, metric])


def with_metric(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The finished cells that have a metric."""
    return cells[cells["status"] == "finished"].dropna(subset=[metric])


def comparisons_frame(cells: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Paired differences model_a - model_b of every two models, a row each: `COMPARISON_COLUMNS`.

    Over "curve", the metric's mean over sparsities is compared, and over "sparsity" its value at
    one. Pairs have data set, sparsity, mask, split and seed in common. Holm's correction is over
    the pairs of one data set and metric, for the curve and for the single sparsities separately.
    Intervals and p values are nan where no test is possible: see `raymm.report.statistics`.
    """
    finished = cells[cells["status"] == "finished"]
    rows: list[tuple[object, ...]] = []
    for metric in metrics:
        heights = curve_heights(cells, metric)
        for dataset, of_dataset in finished.groupby("dataset", sort=False):
            mine = heights[heights["dataset"] == dataset]
            rows += _corrected(
                [(dataset, metric, "curve", math.nan, *d) for d in _paired(mine, metric)]
            )
            single = [
                (dataset, metric, "sparsity", sparsity, *difference)
                for sparsity, at_one in of_dataset.groupby("sparsity")
                for difference in _paired(at_one, metric)
            ]
            rows += _corrected(single)
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def _paired(values: pd.DataFrame, metric: str) -> list[tuple[str | float, ...]]:
    """Model names, difference, std, n, interval and p of every two models that share a seed."""
    wide = values.pivot(index=PAIRED_BY, columns="model", values=metric)
    rows: list[tuple[str | float, ...]] = []
    for a, b in combinations(sorted(map(str, wide.columns), key=model_place), 2):
        differences = (wide[a] - wide[b]).dropna().to_list()
        if differences:
            mean, std = mean_std(differences)
            # Fewer seeds than a test needs are too few for the interval too: it is the same claim.
            enough = len(differences) >= FEWEST_SEEDS
            low, high = interval(differences) if enough else (math.nan, math.nan)
            rows.append((a, b, mean, std, len(differences), low, high, paired_p(differences)))
    return rows


def _corrected(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    corrected = holm([cast(float, row[-1]) for row in rows])
    return [(*row, p) for row, p in zip(rows, corrected, strict=True)]
