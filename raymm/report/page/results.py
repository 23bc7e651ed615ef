"""The page's tables of results: means, and differences between models."""

from __future__ import annotations

import math
from collections.abc import Iterator

from raymm.report.evidence import Evidence
from raymm.report.grids import Entry, Grid, curve_means, metric_grid
from raymm.report.names import (
    HEADLINE_METRICS,
    MAIN_METRICS,
    better,
    directed_label,
    metric_label,
    model_label,
    number,
)
from raymm.report.page.charts import difference_bar
from raymm.report.page.marks import Mark, marks_of
from raymm.report.page.markup import Markup, element, paragraph, section, table
from raymm.report.verdicts import WHOLE_CURVE, Row

READ = (
    "Mean ± standard deviation over seeds, on the test split. **Bold** is a best mean whose difference "
    "to every other model holds: after Holm's correction for all pairs and sparsities of the metric, "
    "the paired t test over seeds rejects 0 at 5 %, and so does the bootstrap over test samples where "
    'the cells kept theirs. Dotted underline is a best mean that may be chance. "Mean over S" is the '
    "area under the metric's curve over its width: one number per model, of the seeds that have every "
    "sparsity."
)


def results(evidence: Evidence) -> Iterator[Markup]:
    """The section of tables of means."""
    marks, content = marks_of(evidence.models), [paragraph(READ)]
    for dataset in evidence.datasets:
        if len(evidence.datasets) > 1:
            content.append(element("h3", dataset))
        first: list[Markup] = []
        others: list[Markup] = []
        for metric in MAIN_METRICS:
            grid = metric_grid(evidence.of(dataset), dataset, metric)
            if grid is None:
                continue
            title = element("h3", directed_label(metric))
            block = element("div", [title, _means(evidence, dataset, grid, marks)])
            (first if metric in HEADLINE_METRICS else others).append(block)
        content.append(element("div", first, class_="pair"))
        if others:
            summary = element("summary", "Other metrics")
            rest = element("div", others, class_="pair")
            content.append(element("details", [summary, rest], open=True))
        content += _gallery(evidence, dataset)
    if len(content) > 1:
        yield section("results", "Results", content)


def _means(evidence: Evidence, dataset: str, grid: Grid, marks: dict[str, Mark]) -> Markup:
    heights = curve_means(evidence.of(dataset), grid.metric)
    curve = len(grid.sparsities) > 1
    models = list(grid.models)
    holding = {sparsity: evidence.leader(dataset, grid, sparsity) for sparsity in grid.sparsities}
    over_curve = evidence.leader(dataset, grid, WHOLE_CURVE)
    order = sorted(heights, key=lambda m: heights[m].mean, reverse=better(grid.metric) == "higher")
    rows = []
    for model in models:
        row: list[str] = [_model(model, marks)]
        if curve:
            first = len(order) > 1 and order[0] == model and better(grid.metric) is not None
            row.append(_entry(heights.get(model), over_curve == model, first))
        for sparsity in grid.sparsities:
            entry = grid.entries.get((model, sparsity))
            row.append(_entry(entry, holding[sparsity] == model, grid.leads(model, sparsity)))
        rows.append(row)
    # First what sums the row up: on a telephone the last columns are out of sight.
    header = ["model", *(["mean over S"] if curve else [])]
    header += [f"S = {s:g}" for s in grid.sparsities]
    return table(header, rows, numbers=len(header) - 1)


def _entry(entry: Entry | None, holds: bool, best: bool) -> str:
    if entry is None:
        return "-"
    spread = f" ±{number(entry.std, like=entry.mean)}" if entry.seeds > 1 else ""
    mean: str = number(entry.mean)
    if holds and best:
        mean = element("b", mean)
    elif best:
        mean = element("span", mean, class_="best")
    return Markup(f"{mean}{element('small', spread, class_='sd')}" if spread else mean)


def _model(model: str, marks: dict[str, Mark]) -> Markup:
    key = element("span", class_=f"key c{marks[model].place}")
    return element("span", [key, model_label(model)], class_="name")


def _gallery(evidence: Evidence, dataset: str) -> Iterator[Markup]:
    grid = metric_grid(evidence.of(dataset), dataset, "retrieval/gallery_size")
    if grid is not None:
        sizes = {sparsity: entry.mean for (_, sparsity), entry in sorted(grid.entries.items())}
        shown = ", ".join(f"{sizes[s]:g} at S = {s:g}" for s in sorted(sizes))
        yield paragraph(
            f"Ranks and recall are among all test samples that have a modality left: {shown}. "
            "The gallery shrinks with S, which alone makes ranks smaller. By chance the median rank "
            "is (gallery + 1) / 2 and the recall at k is k / gallery."
        )


def differences(evidence: Evidence) -> Iterator[Markup]:
    """The section of paired differences."""
    content: list[Markup] = []
    for dataset in evidence.datasets:
        sparsities = sorted(float(s) for s in evidence.of(dataset)["sparsity"].unique())
        over = WHOLE_CURVE if len(sparsities) > 1 else sparsities[0]
        for metric in (*HEADLINE_METRICS, "probe/loss", "probe/accuracy"):
            pairs = evidence.verdicts.pairs(dataset, metric, over)
            if pairs:
                which = f"{dataset}, " if len(evidence.datasets) > 1 else ""
                content.append(element("h3", f"{which}{metric_label(metric)}"))
                content.append(_pairs(evidence, list(pairs)))
    if content:
        yield section("differences", "Differences between models", [_read(evidence), *content])


def _read(evidence: Evidence) -> Markup:
    compared, by_samples = evidence.comparisons, evidence.bootstrap
    text = (
        "Of the mean over sparsities (of the metric itself, where there is one sparsity only), paired "
        "by seed at equal data, split and mask. Those at each sparsity and of all metrics are in "
        "`comparisons.csv` and `bootstrap.csv`. "
    )
    if compared["p"].isna().all():
        return paragraph(
            text + "With fewer than three paired seeds **no test is possible**; none is printed."
        )
    text += "The thick bar is Student's 95 % interval over seeds. "
    if by_samples["p"].notna().any():
        kinds = sorted({str(kind) for kind in by_samples["resampled"] if kind})
        count = int(by_samples["test_samples"].max())
        text += (
            f"The thin line is the bootstrap's interval (over {'; or '.join(kinds)}), of up to {count} "
            "test samples: it asks whether the difference would be there on other samples too. Fewer "
            "than ten seeds are not resampled, because the range of so few undoes the level."
        )
    else:
        text += "The cells kept no samples, so nothing is said of other test samples."
    return paragraph(text)


def _pairs(evidence: Evidence, rows: list[Row]) -> Markup:
    bounds = [
        abs(value)
        for row in rows
        for value in (row["ci_low"], row["ci_high"], *_bootstrap(row))
        if not math.isnan(value)
    ]
    whole = max(bounds, default=0.0) or 1.0
    tested = bool(bounds)
    lines = []
    for row in rows:
        a, b = (model_label(row[name]) for name in ("model_a", "model_b"))
        size = row["difference"]
        line: list[str] = [f"{a} - {b}", number(size), str(row["n"])]
        if tested:
            low, high = row["ci_low"], row["ci_high"]
            if math.isnan(low):
                lines.append([*line[:1], "", *line[1:], "-", "no test possible", "-", "-"])
                continue
            thin_low, thin_high = _bootstrap(row)
            thin = None if math.isnan(thin_low) else (thin_low, thin_high)
            bar = difference_bar(low, high, thin, whole)
            p = f"{row['p_holm']:.2g}"
            line = [
                line[0], bar, element("b", line[1]) if evidence.verdicts.holds(row) else line[1],
                line[2], f"{number(low, like=size)} to {number(high, like=size)}", p,
                "-" if thin is None else
                f"{number(thin_low, like=size)} to {number(thin_high, like=size)}",
                "-" if thin is None else f"{row['resampled']['p_holm']:.2g}",
            ]  # fmt: skip
        lines.append(line)
    if not tested:
        return table(["first - second", "mean difference", "seeds"], lines, numbers=2)
    sign = "above" if better(rows[0]["metric"]) == "higher" else "below"
    header = [
        "first - second", f"{sign} 0: the first is better", "difference", "seeds",
        "95 % over seeds", "p (Holm)", "95 % bootstrap", "p (Holm)",
    ]  # fmt: skip
    return table(header, lines, numbers=6)


def _bootstrap(row: Row) -> tuple[float, float]:
    found = row["resampled"]
    return (math.nan, math.nan) if found is None else (float(found["low"]), float(found["high"]))
