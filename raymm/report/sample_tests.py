"""Differences between models that are held against other seeds and other test samples at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raymm.report.bootstrap import ROUNDS, Floats, paired_bootstrap, resample_weights
from raymm.report.comparisons import PAIRED_BY, with_metric
from raymm.report.names import model_place
from raymm.report.resampling import WEIGHTED, weighted_metric
from raymm.report.statistics import holm, mean_height

BOOTSTRAP_COLUMNS = (
    "dataset", "metric", "over", "sparsity", "model_a", "model_b", "difference", "seeds",
    "test_samples", "low", "high", "p", "p_holm", "resampled",
)  # fmt: skip
FEWEST_ROUNDS = 200
MOST_ROUNDS_IN_ALL = 400_000
"""Resamples times cells; with more cells each is resampled less often, down to `FEWEST_ROUNDS`."""
MOST_WORK = 2e10
"""Resamples x cells x samples x figures of a sample; beyond, samples are not resampled."""

Samples = Mapping[str, pd.DataFrame]
"""What cells kept of their test split, by cell key: `raymm.training.samples.read_samples`."""


def bootstrap_frame(
    cells: pd.DataFrame,
    samples: Samples,
    metrics: Sequence[str],
    advance: Callable[[int], None] = lambda cells_done: None,
) -> pd.DataFrame:
    """Paired bootstrap of model_a - model_b for every two models, a row each: `BOOTSTRAP_COLUMNS`.

    Pairs, families of Holm's correction and "over" are as in `comparisons_frame`. Only metrics that
    can be told sample by sample (`WEIGHTED`) have rows, and only cells whose samples were kept
    count. low, high and p are nan where `paired_bootstrap` has nothing to say; "resampled" says
    over what it is right.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
        samples: by cell key.
        metrics: to compare.
        advance: called with the number of cells done since the last call.
    """
    rows: list[tuple[object, ...]] = []
    usable = cells[(cells["status"] == "finished") & cells["cell_key"].isin(samples.keys())]
    wanted = [metric for metric in metrics if metric in WEIGHTED and metric in cells]
    for dataset, of_dataset in usable.groupby("dataset", sort=False):
        drawn = resample(of_dataset, samples, wanted, advance)
        if drawn is None:
            continue
        whole = cells[cells["dataset"] == dataset]
        for metric in wanted:
            everywhere = with_metric(whole, metric)["sparsity"].nunique()
            known = of_dataset[of_dataset["cell_key"].isin(drawn.of(metric))]
            curves = _curves(known, metric, drawn.of(metric), everywhere)
            family = [(dataset, metric, "curve", math.nan, *row) for row in _pairs(curves, drawn)]
            rows += _corrected(family)
            family = []
            for sparsity, at_one in known.groupby("sparsity"):
                values = _values(at_one, metric, drawn.of(metric))
                family += [
                    (dataset, metric, "sparsity", sparsity, *row) for row in _pairs(values, drawn)
                ]
            rows += _corrected(family)
    return pd.DataFrame(rows, columns=list(BOOTSTRAP_COLUMNS))


Place = tuple[str, tuple[int, int, int]]
"""Model, and what pairs are paired by."""
Value = tuple[float, Floats]
"""A metric as it is, and on each resample (R,)."""


class Resampled:
    """Metrics of a data set's cells on resamples of its test samples."""

    def __init__(self, test_samples: int, rounds: int) -> None:
        self.test_samples, self.rounds = test_samples, rounds
        self._values: dict[str, dict[str, Floats]] = {}

    def put(self, metric: str, key: str, values: Floats) -> None:
        """Remember a cell's metric on each resample, (R,)."""
        self._values.setdefault(metric, {})[key] = values

    def of(self, metric: str) -> Mapping[str, Floats]:
        """A metric by cell key."""
        return self._values.get(metric, {})


def resample(
    cells: pd.DataFrame,
    samples: Samples,
    metrics: Sequence[str],
    advance: Callable[[int], None],
) -> Resampled | None:
    """Metrics of finished cells of one data set on common resamples of its test samples.

    A sample that some cells lack, because the mask leaves nothing of it, is drawn for the others.
    The same cells give the same resamples. None if there is too much to compute.
    """
    keys = cells["cell_key"].to_list()
    ids = np.unique(np.concatenate([samples[key]["id"].to_numpy(str) for key in keys]))
    rounds = max(FEWEST_ROUNDS, min(ROUNDS, MOST_ROUNDS_IN_ALL // len(keys)))
    about = samples[keys[0]].attrs
    figures = 2 * len(about["modalities"]) + max(1, len(about["classes"]))
    if rounds * len(keys) * len(ids) * figures > MOST_WORK:
        advance(len(keys))
        return None
    weights = resample_weights(len(ids), rounds, np.random.default_rng(len(ids)))
    drawn = Resampled(len(ids), rounds)

    def of_cell(key: str) -> list[tuple[str, Floats | None]]:
        mine: NDArray[np.int64] = np.searchsorted(ids, samples[key]["id"].to_numpy(str))
        own = weights[:, mine]
        return [(metric, weighted_metric(metric, samples[key], own)) for metric in metrics]

    # Sums over large arrays, during which Python lets other threads run.
    with ThreadPoolExecutor() as pool:
        for key, values in zip(keys, pool.map(of_cell, keys), strict=True):
            for metric, value in values:
                if value is not None:
                    drawn.put(metric, key, value)
            advance(1)
    return drawn


def _values(cells: pd.DataFrame, metric: str, drawn: Mapping[str, Floats]) -> dict[Place, Value]:
    return {
        (str(row["model"]), _paired_by(row)): (float(row[metric]), drawn[row["cell_key"]])
        for row in cells.to_dict("records")
    }


def _curves(
    cells: pd.DataFrame, metric: str, drawn: Mapping[str, Floats], everywhere: int
) -> dict[Place, Value]:
    """Means over sparsities, of those that have every sparsity, as in `curve_heights`."""
    heights: dict[Place, Value] = {}
    for _, curve in cells.dropna(subset=[metric]).groupby(["model", *PAIRED_BY], sort=False):
        if len(curve) != everywhere or everywhere < 2:
            continue
        x = curve["sparsity"].to_list()
        each = np.stack([drawn[key] for key in curve["cell_key"]])
        order = np.argsort(x)
        across = np.asarray(x, dtype=np.float64)[order]
        area = np.trapezoid(each[order], across, axis=0) / (across[-1] - across[0])
        row = curve.iloc[0].to_dict()
        heights[str(row["model"]), _paired_by(row)] = (
            mean_height(x, curve[metric].to_list()),
            area,
        )
    return heights


def _paired_by(row: Mapping[Hashable, Any]) -> tuple[int, int, int]:
    seed, mask_seed, split_seed = (int(row[name]) for name in PAIRED_BY)
    return seed, mask_seed, split_seed


def _pairs(values: Mapping[Place, Value], drawn: Resampled) -> Iterator[tuple[object, ...]]:
    """Every two models' paired differences, as the rest of a row but for Holm's p."""
    models = sorted({model for model, _ in values}, key=model_place)
    for a, b in combinations(models, 2):
        shared = sorted(place for model, place in values if model == a and (b, place) in values)
        pairs = [(values[a, place], values[b, place]) for place in shared]
        pairs = [(one, other) for one, other in pairs if math.isfinite(one[0] - other[0])]
        if not pairs:
            continue
        observed = np.array([one[0] - other[0] for one, other in pairs])
        resampled = np.stack([one[1] - other[1] for one, other in pairs], axis=1)
        found = paired_bootstrap(observed, resampled, np.random.default_rng(len(pairs)))
        mean, size = float(observed.mean()), drawn.test_samples
        yield a, b, mean, len(pairs), size, found.low, found.high, found.p, found.over


def _corrected(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """With Holm's p before the last entry, which says what was resampled."""
    corrected = holm([cast(float, row[-2]) for row in rows])
    return [(*row[:-1], p, row[-1]) for row, p in zip(rows, corrected, strict=True)]
