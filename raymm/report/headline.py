"""The sentences a report opens with: which model is ahead where, and how sure that is."""

from __future__ import annotations

import pandas as pd

from raymm.report.evidence import Evidence
from raymm.report.grids import Grid, curve_means, metric_grid, seeds_of
from raymm.report.names import (
    HEADLINE_METRICS,
    better,
    directed_label,
    listed,
    model_label,
    number,
)
from raymm.report.statistics import FEWEST_SEEDS


def verdicts(evidence: Evidence) -> list[str]:
    """Paragraphs in Markdown: which model wins, by tests over seeds and over test samples."""
    return [
        sentence
        for dataset in evidence.datasets
        for metric in HEADLINE_METRICS
        if (grid := metric_grid(evidence.of(dataset), dataset, metric)) is not None
        for sentence in (_winner(evidence, dataset, grid), _where(evidence, dataset, grid))
        if sentence
    ]


def best_means(cells: pd.DataFrame) -> list[str]:
    """Paragraphs in Markdown on what was seen, tested or not, and on what tests speak of.

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
                text = " ".join(
                    part for part in (_leaders(grid), _curves(of_dataset, metric)) if part
                )
                lines.append(f"**{dataset}, {directed_label(metric)}.** {text}")
    return [*lines, _certainty(fewest, most)]


def _winner(evidence: Evidence, dataset: str, grid: Grid) -> str:
    """Which model wins over the whole curve, or at the only sparsity there is."""
    metric, cells = grid.metric, evidence.of(dataset)
    if len(grid.sparsities) > 1:
        best = {model: entry.mean for model, entry in curve_means(cells, metric).items()}
    else:
        only = grid.sparsities[0]
        best = {model: grid.entries[model, only].mean for model in grid.best(only)}
    order = sorted(best, key=lambda m: best[m], reverse=better(metric) == "higher")
    ranked = {model: best[model] for model in order}
    sentence = evidence.verdicts.sentence(dataset, metric, ranked, grid.sparsities)
    lacking = [model_label(model) for model in grid.models if model not in best]
    if sentence and lacking:
        has = "has" if len(lacking) == 1 else "have"
        sentence += (
            f" Left out: {listed(lacking)}, which {has} no seed with a finished cell at every "
            "sparsity."
        )
    return sentence


def _where(evidence: Evidence, dataset: str, grid: Grid) -> str:
    """At which single sparsities a lead over all others holds."""
    if len(grid.sparsities) < 2 or len(grid.models) < 2:
        return ""
    leads: dict[str, list[str]] = {}
    for sparsity in grid.sparsities:
        leader = evidence.leader(dataset, grid, sparsity)
        if leader is not None:
            leads.setdefault(leader, []).append(f"{sparsity:g}")
    if not leads:
        at_each = [
            evidence.verdicts.pairs(dataset, grid.metric, sparsity) for sparsity in grid.sparsities
        ]
        tested = any(rows and all(row["n"] >= FEWEST_SEEDS for row in rows) for rows in at_each)
        return "At no single sparsity does a lead over all other models hold." if tested else ""
    said = "; ".join(f"{model_label(model)} at S = {listed(at)}" for model, at in leads.items())
    return f"At single sparsities a lead over all other models holds for {said}."


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


def _certainty(fewest: int, most: int) -> str:
    seeds = f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most > 1)}"
    if most < FEWEST_SEEDS:
        return (
            f"Each condition has {seeds}. With fewer than {FEWEST_SEEDS} seeds no test is "
            "possible: read the order of the models as what this sweep saw, not as a finding."
        )
    return (
        f"Each condition has {seeds}. Tests are paired by seed on the same data, split and mask; "
        "they speak of other seeds and, where cells kept their samples, of other test samples; not of "
        "other data."
    )
