"""Results by which modalities were present: one number hides that some are worth more than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from raymm.report.sample_tests import Samples

COMBINATION_COLUMNS = (
    "dataset", "model", "sparsity", "combination", "modalities", "test_samples", "seeds",
    "metric", "mean", "std",
)  # fmt: skip
FEWEST_SAMPLES = 10
"""Test samples, over all seeds together, below which a combination's mean says too little."""


def combinations_frame(cells: pd.DataFrame, samples: Samples) -> pd.DataFrame:
    """A row per condition, combination of present modalities, and metric: `COMBINATION_COLUMNS`.

    Metrics are those that are means over samples: "probe/accuracy" and "probe/loss", and
    "rank/median_mean", here the median over samples of the mean rank over the modalities they have
    as queries. mean and std (ddof 1) are over seeds; "test_samples" is the mean count of a seed.
    Combinations of fewer than `FEWEST_SAMPLES` samples in all are left out.
    """
    rows: list[tuple[object, ...]] = []
    usable = cells[(cells["status"] == "finished") & cells["cell_key"].isin(samples.keys())]
    for (dataset, model, sparsity), seeds in usable.groupby(
        ["dataset", "model", "sparsity"], sort=False
    ):
        parts = [_of_cell(samples[key]) for key in seeds["cell_key"]]
        for combination in sorted({name for part in parts for name in part}, key=_place):
            having = [part[combination] for part in parts if combination in part]
            counts = [count for count, _ in having]
            if sum(counts) < FEWEST_SAMPLES:
                continue
            size = combination.count("+") + 1
            for metric in dict.fromkeys(name for _, values in having for name in values):
                values = np.array([each[metric] for _, each in having if metric in each])
                spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
                rows.append(
                    (
                        dataset, model, sparsity, combination, size, float(np.mean(counts)),
                        len(values), metric, float(values.mean()), spread,
                    )
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COMBINATION_COLUMNS))


def combination_names(samples: pd.DataFrame) -> pd.Series:
    """Of each sample, the modalities it has, joined with "+"."""
    names: list[str] = samples.attrs["modalities"]
    has = samples[[f"has/{name}" for name in names]].to_numpy(bool)
    joined = ["+".join(name for name, one in zip(names, row, strict=True) if one) for row in has]
    return pd.Series(joined, index=samples.index, dtype=str)


def _of_cell(samples: pd.DataFrame) -> dict[str, tuple[int, dict[str, float]]]:
    """Count and metrics of each combination."""
    figures = pd.DataFrame(dict(_figures(samples)))
    found = {}
    for name, rows in figures.groupby(combination_names(samples), sort=False):
        values = {
            str(metric): float(column.median() if metric == "rank/median_mean" else column.mean())
            for metric, column in rows.items()
            if column.notna().any()
        }
        found[str(name)] = (len(rows), values)
    return found


def _figures(samples: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """What is averaged over samples, by metric."""
    if samples.attrs["task"] == "classification" and "probe/said" in samples:
        said = samples["probe/said"]
        best = said.map(lambda row: -1 if row is None else int(np.argmax(row)))
        right = (best == samples["label"]).astype(float)
        yield "probe/accuracy", right.where(samples["label"] >= 0)
    if "probe/loss" in samples:
        yield "probe/loss", samples["probe/loss"]
    ranks = [f"rank/{name}" for name in samples.attrs["modalities"]]
    yield "rank/median_mean", samples[ranks].mean(axis=1)


def _place(combination: str) -> tuple[int, str]:
    return (-combination.count("+"), combination)


def shared_combinations(frame: pd.DataFrame, most: int) -> list[str]:
    """The combinations with the most test samples over all conditions, most modalities first."""
    counts = {
        str(name): float(n)
        for name, n in frame.groupby("combination")["test_samples"].sum().items()
    }
    chosen = sorted(counts, key=lambda name: -counts[name])[:most]
    return sorted(chosen, key=_place)
