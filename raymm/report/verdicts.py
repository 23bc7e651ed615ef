"""Which leads hold: the difference to every other model is there for other seeds, and other samples."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from raymm.report.names import better, directed_label, listed, model_label, number
from raymm.report.statistics import FEWEST_SEEDS

SIGNIFICANT = 0.05
WHOLE_CURVE = math.nan
"""Stands for the mean over sparsities where a sparsity is asked for."""

Row = Mapping[str, Any]


class Verdicts:
    """What paired tests say of every two models.

    A difference holds if, after Holm's correction, the paired t test over seeds rejects 0, and, where
    the samples' figures are there, the bootstrap over test samples does so too.

    Args:
        comparisons: as of `raymm.report.comparisons.comparisons_frame`.
        bootstrap: as of `raymm.report.sample_tests.bootstrap_frame`.
    """

    def __init__(self, comparisons: pd.DataFrame, bootstrap: pd.DataFrame) -> None:
        self._rows: dict[tuple[str, str, float | None], list[Row]] = defaultdict(list)
        resampled = {_place(row): row for row in _records(bootstrap)}
        for row in _records(comparisons):
            place = _place(row)
            self._rows[place[:3]].append({**row, "resampled": resampled.get(place)})

    def pairs(self, dataset: str, metric: str, sparsity: float) -> Sequence[Row]:
        """The comparisons at a sparsity or of `WHOLE_CURVE`; "resampled" is the bootstrap's row."""
        return self._rows.get((dataset, metric, _key(sparsity)), [])

    def holds(self, row: Row) -> bool:
        """Whether a comparison's difference holds."""
        by_samples = row["resampled"]
        if not row["p_holm"] < SIGNIFICANT:
            return False
        return (
            by_samples is None
            or math.isnan(by_samples["p_holm"])
            or bool(by_samples["p_holm"] < SIGNIFICANT)
        )

    def leader(
        self, dataset: str, metric: str, sparsity: float, models: Sequence[str]
    ) -> str | None:
        """The model whose lead over each of the others holds; None if there is none."""
        beaten: dict[str, set[str]] = defaultdict(set)
        for row in self.pairs(dataset, metric, sparsity):
            if self.holds(row):
                ahead, behind = ordered(row)
                beaten[ahead].add(behind)
        for model in models:
            others = set(models) - {model}
            if others and others <= beaten[model]:
                return model
        return None

    def sentence(
        self, dataset: str, metric: str, best: Mapping[str, float], sparsities: Sequence[float]
    ) -> str:
        """Which model wins over the whole curve, and how sure that is.

        Args:
            best: mean over sparsities by model, the best first.
            sparsities: of the data set.
        """
        names = list(best)
        what = f"**{dataset}, {directed_label(metric)}:** "
        if len(names) < 2:
            return ""
        first = model_label(names[0])
        over = WHOLE_CURVE if len(sparsities) > 1 else sparsities[0]
        size = number(best[names[0]])
        means = (
            f"mean over sparsities {size}"
            if len(sparsities) > 1
            else f"mean at S = {over:g}, {size}"
        )
        rows = [row for row in self.pairs(dataset, metric, over) if names[0] in _models(row)]
        seeds = min((row["n"] for row in rows), default=0)
        if seeds < FEWEST_SEEDS:
            return (
                f"{what}{first} has the best {means}. With {seeds} paired seed"
                f"{'s' * (seeds != 1)} no test is possible: this is what was seen, not a finding."
            )
        told = [row for row in rows if self.holds(row) and ordered(row)[0] == names[0]]
        if not told:
            runner_up = model_label(names[1])
            return (
                f"{what}{first} has the best {means}, but no difference to another model holds "
                f"(next is {runner_up}, {number(best[names[1]])}; {seeds} seeds)."
            )
        beaten = "; ".join(f"{model_label(ordered(row)[1])} by {_size(row)}" for row in told)
        rest = [name for name in names[1:] if name not in {ordered(row)[1] for row in told}]
        end = f" Not told apart from {listed(map(model_label, rest))}." if rest else ""
        all_others = "" if rest or len(told) == 1 else "all others: "
        return (
            f"{what}{first} is ahead of {all_others}{beaten} ({means}; {seeds} seeds, "
            f"Holm-corrected).{end}"
        )


def ordered(row: Row) -> tuple[str, str]:
    """The two models of a comparison, the better first."""
    a_ahead = (row["difference"] > 0) == (better(row["metric"]) == "higher")
    pair = (str(row["model_a"]), str(row["model_b"]))
    return pair if a_ahead else (pair[1], pair[0])


def _size(row: Row) -> str:
    low, high = sorted(abs(row[bound]) for bound in ("ci_low", "ci_high"))
    if row["ci_low"] * row["ci_high"] < 0:
        low, high = row["ci_low"], row["ci_high"]
    size = abs(row["difference"])
    return (
        f"{number(size)} (95 % interval {number(low, like=size)} to {number(high, like=size)}, "
        f"p = {row['p_holm']:.2g})"
    )


def _models(row: Row) -> tuple[str, str]:
    return str(row["model_a"]), str(row["model_b"])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _place(row: Row) -> tuple[str, str, float | None, str, str]:
    return (row["dataset"], row["metric"], _key(row["sparsity"]), *_models(row))


def _key(sparsity: float) -> float | None:
    """nan is equal to nothing, which no key may be."""
    return None if math.isnan(sparsity) else float(sparsity)
