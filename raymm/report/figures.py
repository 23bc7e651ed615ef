"""The paper's figures 4, 5 and 6: metrics against modal sparsity, a line per model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raymm.report.names import better, metric_label, model_label, model_place
from raymm.report.tables import conditions

FIGURE_4 = ("uniformity/fusion", "uniformity/unimodal_mean", "alignment/mean")
FIGURE_5 = ("rank/median_mean", "recall/at_1_mean", "recall/at_5_mean", "recall/at_10_mean")
FIGURE_6 = ("probe/auprc", "probe/pearson", "probe/accuracy", "probe/loss")

WIDTH = 12.8
"""Inches. At 150 dots an inch 1,920 pixels; shown at 1,280, text of 11 points is 15 pixels high."""
DOTS_PER_INCH = 150
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "grid.color": "#e3e3e3",
    "legend.frameon": False,
    "svg.hashsalt": "raymm",
}

# Okabe and Ito's palette, which people with the common colour deficiencies can tell apart; the
# markers tell the models apart without any colour.
_STYLES = {
    "mca": ("#0072B2", "o"),
    "zorro": ("#D55E00", "s"),
    "eao": ("#009E73", "^"),
    "cbmf": ("#CC79A7", "D"),
}
_MORE_STYLES = (
    ("#E69F00", "v"), ("#56B4E9", "P"), ("#000000", "X"), ("#8A6D00", "h"), ("#7A4FB5", "*"),
)  # fmt: skip


def sparsity_figure(cells: pd.DataFrame, metrics: Sequence[str]) -> Figure | None:
    """Metrics against sparsity: a row of panels per data set, a line per model.

    Lines join the means over seeds, bars are one standard deviation, and short dashes are the
    seeds. A metric that no cell has gets no panel.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
        metrics: one panel each.

    Returns:
        The figure; None if no cell has any of the metrics.
    """
    finished = cells[cells["status"] == "finished"]
    rows = [
        (str(dataset), of_dataset, [name for name in metrics if _known(of_dataset, name)])
        for dataset, of_dataset in finished.groupby("dataset")
    ]
    rows = [row for row in rows if row[2]]
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        figure = new_figure(rows=len(rows))
        axes = figure.subplots(len(rows), max(len(known) for *_, known in rows), squeeze=False)
        models = sorted(finished["model"].unique(), key=model_place)
        for panels, (dataset, of_dataset, known) in zip(axes, rows, strict=True):
            for panel, metric in zip(panels, known, strict=False):
                _draw(panel, of_dataset, metric, models)
            for unused in panels[len(known) :]:
                unused.remove()
            panels[0].set_ylabel(f"{dataset}\nmean ± std over seeds")
        handles = [_handle(model, models) for model in models]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(models))
    return figure


def new_figure(rows: int) -> Figure:
    """An empty figure of the report's width, drawn without pyplot's global state."""
    figure = Figure(figsize=(WIDTH, 0.6 + 3.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def image(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The figure as a PNG or SVG file, byte for byte the same each time."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def _known(cells: pd.DataFrame, metric: str) -> bool:
    return metric in cells and bool(cells[metric].notna().any())


def _style(model: str, models: Sequence[str]) -> tuple[str, str]:
    if model in _STYLES:
        return _STYLES[model]
    others = [name for name in models if name not in _STYLES]
    free = [*_MORE_STYLES, *(style for name, style in _STYLES.items() if name not in models)]
    return free[others.index(model) % len(free)]


def _handle(model: str, models: Sequence[str]) -> Line2D:
    colour, marker = _style(model, models)
    return Line2D([], [], color=colour, marker=marker, linewidth=2, label=model_label(model))


def _draw(panel: Axes, cells: pd.DataFrame, metric: str, models: Sequence[str]) -> None:
    direction = better(metric)
    panel.set_title(f"{metric_label(metric)}\n({direction} is better)")
    panel.set_xlabel("modal sparsity S")
    sparsities = sorted(cells["sparsity"].unique())
    panel.set_xticks(sparsities, [f"{sparsity:g}" for sparsity in sparsities])
    gaps = [high - low for low, high in pairwise(sparsities)]
    for place, model in enumerate(models):
        colour, marker = _style(model, models)
        # Side by side, so that bars of equal models do not hide each other.
        shift = (place - (len(models) - 1) / 2) * 0.09 * min(gaps, default=0.1)
        points = [
            (sparsity + shift, rows[metric].dropna())
            for _, name, sparsity, rows in conditions(cells)
            if name == model and rows[metric].notna().any()
        ]
        if not points:
            continue
        x = [at for at, _ in points]
        spread = [0.0 if len(values) < 2 else float(values.std()) for _, values in points]
        panel.errorbar(
            x, [float(values.mean()) for _, values in points], spread,
            color=colour, marker=marker, markersize=7, linewidth=2, elinewidth=1.5, capsize=3,
        )  # fmt: skip
        for at, values in points:
            panel.plot([at] * len(values), values, "_", color=colour, alpha=0.6, markersize=9)
