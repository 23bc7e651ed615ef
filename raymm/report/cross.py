"""Train sparsity x test sparsity: how a model trained with few holes fares where there are many."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from raymm.errors import SweepError
from raymm.report.statistics import mean_std

CROSS_FILE = "cross_sparsity.csv"
CROSS_COLUMNS = ("dataset", "model", "sparsity", "seed", "mask_seed", "split_seed", "cell_key",
                 "test_sparsity")  # fmt: skip
"""A row per cell and test sparsity; metrics follow under their stable names."""


def read_cross(folder: Path) -> pd.DataFrame | None:
    """What `sweeps/cross_sparsity.py` wrote into a results folder; None if nothing.

    Raises:
        SweepError: the file is damaged.
    """
    file = folder / CROSS_FILE
    if not file.exists():
        return None
    try:
        frame = pd.read_csv(file, dtype={"cell_key": str})
    except (OSError, ValueError) as error:
        raise SweepError(f"{file} cannot be read: {error}. Remove it, or make it again.") from error
    missing = [name for name in CROSS_COLUMNS if name not in frame]
    if missing:
        raise SweepError(f"{file} lacks the columns {missing}. Remove it, or make it again.")
    return frame


def cross_matrix(cross: pd.DataFrame, metric: str) -> pd.DataFrame | None:
    """Mean and standard deviation over seeds, a row each for model, train and test sparsity.

    Returns:
        Columns dataset, model, train, test, mean, std, seeds; None if no cell has the metric.
    """
    if metric not in cross or cross[metric].isna().all():
        return None
    rows = [
        (*place, *mean_std(values.to_list()), len(values))
        for place, values in cross.dropna(subset=[metric]).groupby(
            ["dataset", "model", "sparsity", "test_sparsity"], sort=False
        )[metric]
    ]
    columns = ["dataset", "model", "train", "test", "mean", "std", "seeds"]
    return pd.DataFrame(rows, columns=columns)
