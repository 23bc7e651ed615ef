"""The sentences a report opens with: which model is ahead where, and how sure that is."""

from __future__ import annotations

import pandas as pd

from raymm.report.comparisons import comparisons_frame, curve_heights
from raymm.report.grids import Entry, Grid, metric_grid, seeds_of
from raymm.report.names import (
    MAIN_PROBES,
    better,
    directed_label,
    listed,
    model_label,
    number,
)
from raymm.report.statistics import FEWEST_SEEDS, mean_std

HEADLINE_METRICS = (*MAIN_PROBES, "rank/median_mean")
SIGNIFICANT = 0.05


def headline(cells: pd.DataFrame) -> list[str]:
    """Paragraphs in Markdown, for each data set and headline metric one, then on certainty.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
    """
    fewest, most = seeds_of(cells)
    if most == 0:
        return ["No cell finished, so there is nothing to compare."]
    lines = []
    for dataset in cells["dataset"].unique():
        for metric in HEADLINE_METRICS:
            grid = metric_grid(cells, dataset, metric)
            if grid is not None:
                of_dataset = cells[cells["dataset"] == dataset]
                parts = [_leaders(grid), _curves(of_dataset, metric), _tests(of_dataset, metric)]
                text = " ".join(part for part in parts if part)
                lines.append(f"**{dataset}, {directed_label(metric)}.** {text}")
    return [*lines, _certainty(fewest, most)]


def curve_means(cells: pd.DataFrame, metric: str) -> dict[str, Entry]:
    """Mean over sparsities per model, of the seeds with whole curves, for one data set's cells."""
    heights = curve_heights(cells, metric)
    by_model = {str(model): rows[metric].to_list() for model, rows in heights.groupby("model")}
    return {model: Entry(*mean_std(values), len(values)) for model, values in by_model.items()}


def _leaders(grid: Grid) -> str:
    leads: dict[str, list[str]] = {}
    narrow = []
    for sparsity in grid.sparsities:
        order = grid.best(sparsity)
        if len(order) < 2:
            continue
        first, second = (grid.entries[model, sparsity] for model in order[:2])
        names = listed(model_label(model) for model in order if grid.leads(model, sparsity))
        leads.setdefault(names, []).append(f"{sparsity:g} ({number(first.mean)})")
        if abs(first.mean - second.mean) <= max(first.std, second.std):
            narrow.append(f"{sparsity:g}")
    if not leads:
        return "There is one model only at each sparsity, so nothing to compare it with."
    whole = len(leads) == 1 and len(grid.sparsities) > 1
    best = "; ".join(
        f"{names} at {'every ' if whole else ''}S = {listed(where)}"
        for names, where in leads.items()
    )
    caution = (
        f" The lead is no larger than one standard deviation over seeds at S = {listed(narrow)}."
        if narrow
        else ""
    )
    return f"Best mean: {best}.{caution}"


def _curves(cells: pd.DataFrame, metric: str) -> str:
    means = curve_means(cells, metric)
    if len(means) < 2:
        return ""
    order = sorted(means, key=lambda m: means[m].mean, reverse=better(metric) == "higher")
    values = listed(f"{model_label(model)} {means[model]}" for model in order)
    return f"Mean over sparsities: {values}."


def _tests(cells: pd.DataFrame, metric: str) -> str:
    compared = comparisons_frame(cells, [metric])
    tested = compared[(compared["over"] == "curve") & compared["p_holm"].notna()]
    if tested.empty:
        return ""
    sentences = []
    for row in tested[tested["p_holm"] < SIGNIFICANT].to_dict("records"):
        a_ahead = (row["difference"] > 0) == (better(metric) == "higher")
        ahead, behind = ("model_a", "model_b") if a_ahead else ("model_b", "model_a")
        sizes = sorted(abs(row[bound]) for bound in ("ci_low", "ci_high"))
        sentences.append(
            f"{model_label(row[ahead])} is ahead of {model_label(row[behind])} by "
            f"{number(abs(row['difference']))} (95 % interval {number(sizes[0])} to "
            f"{number(sizes[1])}, p = {row['p_holm']:.2g} after Holm's correction, "
            f"{row['n']} seeds)."
        )
    if not sentences:
        return "Paired by seed, no two models can be told apart."
    rest = len(compared[compared["over"] == "curve"]) - len(sentences)
    return " ".join([*sentences, "No other two models can be told apart."][: None if rest else -1])


def _certainty(fewest: int, most: int) -> str:
    seeds = f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most > 1)}"
    if most < FEWEST_SEEDS:
        return (
            f"Each condition has {seeds}. With fewer than {FEWEST_SEEDS} seeds no test is "
            "possible: read the order of the models as what this sweep saw, not as a finding."
        )
    return (
        f"Each condition has {seeds}. Tests are paired by seed on the same data, split and mask; "
        "they speak of other seeds, not of other data."
    )
