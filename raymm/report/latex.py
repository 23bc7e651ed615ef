"""`tables.tex`: the tables of results for a paper, with booktabs."""

from __future__ import annotations

from collections.abc import Iterator

from raymm.report.evidence import Evidence
from raymm.report.grids import Entry, Grid, curve_means, metric_grid
from raymm.report.names import MAIN_METRICS, directed_label, model_label, number
from raymm.report.verdicts import WHOLE_CURVE

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def tables_text(evidence: Evidence) -> str:
    """A table for each data set and metric; bold where the lead over every other model holds."""
    head = "% Needs \\usepackage{booktabs}. Mean and standard deviation over seeds, test split.\n"
    return head + "".join(
        _table(evidence, dataset, grid)
        for dataset in evidence.datasets
        for metric in MAIN_METRICS
        if (grid := metric_grid(evidence.of(dataset), dataset, metric)) is not None
    )


def escaped(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _table(evidence: Evidence, dataset: str, grid: Grid) -> str:
    curve = len(grid.sparsities) > 1
    columns = [*(f"$S = {s:g}$" for s in grid.sparsities), *(["mean over $S$"] if curve else [])]
    caption = escaped(f"{directed_label(grid.metric)}, {dataset}")
    lines = [
        r"\begin{table}",
        rf"  \caption{{{caption[0].upper()}{caption[1:]}.}}",
        rf"  \begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"    \toprule",
        f"    model & {' & '.join(columns)} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in _rows(evidence, dataset, grid, curve)),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n" + "\n".join(lines) + "\n"


def _rows(evidence: Evidence, dataset: str, grid: Grid, curve: bool) -> Iterator[list[str]]:
    heights = curve_means(evidence.of(dataset), grid.metric)
    for model in grid.models:
        row = [escaped(model_label(model))]
        for sparsity in grid.sparsities:
            leader = evidence.leader(dataset, grid, sparsity)
            row.append(_entry(grid.entries.get((model, sparsity)), leader == model))
        if curve:
            leader = evidence.leader(dataset, grid, WHOLE_CURVE)
            row.append(_entry(heights.get(model), leader == model))
        yield row


def _entry(entry: Entry | None, bold: bool) -> str:
    if entry is None:
        return "--"
    spread = rf" \pm {number(entry.std, like=entry.mean)}" if entry.seeds > 1 else ""
    mean = number(entry.mean).replace(",", "{,}")
    shown = rf"\mathbf{{{mean}}}" if bold else mean
    return f"${shown}{spread}$"
