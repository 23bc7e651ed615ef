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

    Metrics are those that a few samples can tell: "probe/accuracy", "probe/loss" and
    "rank/median_mean" (among the gallery of the whole test split). mean and std (ddof 1) are over
    seeds; "test_samples" is the mean count of a seed. Combinations of fewer than
    `FEWEST_SAMPLES` samples in all are left out.
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
    names = combination_names(samples)
    figures = pd.DataFrame(dict(_figures(samples)), index=samples.index)
    table = figures.groupby(names, sort=False).mean()
    # As the metric of that name: the median of each modality's queries, then the mean.
    ranks = samples[[f"rank/{name}" for name in samples.attrs["modalities"]]]
    table["rank/median_mean"] = ranks.groupby(names, sort=False).median().mean(axis=1)
    counts = {str(name): int(count) for name, count in names.value_counts().items()}
    return {
        str(name): (counts[str(name)], {str(k): float(v) for k, v in row.dropna().items()})
        for name, row in table.iterrows()
    }


def _figures(samples: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """What is averaged over samples, by metric."""
    if samples.attrs["task"] == "classification" and "probe/said" in samples:
        said = samples["probe/said"]
        best = said.map(lambda row: -1 if row is None else int(np.argmax(row)))
        right = (best == samples["label"]).astype(float)
        yield "probe/accuracy", right.where(samples["label"] >= 0)
    if "probe/loss" in samples:
        yield "probe/loss", samples["probe/loss"]


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
