"""The paper's figure 7: train and validation loss against the epoch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raymm.report.figures import STYLE, new_figure
from raymm.report.names import model_label, model_place
from raymm.report.record import Curve

LINES: tuple[tuple[str, Literal["solid", "dashed"], str], ...] = (
    ("loss/train", "solid", "train"),
    ("loss/val", "dashed", "validation"),
)


def loss_figure(cells: pd.DataFrame, curves: Mapping[str, Curve]) -> Figure | None:
    """Loss against epoch: a row of panels per data set, a panel per model, a colour per sparsity.

    Solid lines are the train loss, dashed ones the validation loss (the paper draws its test split
    here), each the mean over seeds. Cells that did not finish are left out.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
        curves: by cell key.

    Returns:
        The figure; None if no finished cell has a curve.
    """
    drawn = cells[(cells["status"] == "finished") & cells["cell_key"].isin(curves.keys())]
    if drawn.empty:
        return None
    datasets = list(map(str, drawn["dataset"].unique()))
    models = sorted(map(str, drawn["model"].unique()), key=model_place)
    sparsities = sorted(float(sparsity) for sparsity in drawn["sparsity"].unique())
    colours = dict(zip(sparsities, _shades(len(sparsities)), strict=True))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(rows=len(datasets))
        axes = figure.subplots(len(datasets), len(models), squeeze=False, sharey="row")
        for row, dataset in zip(axes, datasets, strict=True):
            for panel, model in zip(row, models, strict=True):
                panel.set_title(model_label(model))
                panel.set_xlabel("epoch")
                panel.xaxis.get_major_locator().set_params(integer=True)
                mine = drawn[(drawn["dataset"] == dataset) & (drawn["model"] == model)]
                panel.set_visible(not mine.empty)
                for sparsity, colour in colours.items():
                    keys = mine.loc[mine["sparsity"] == sparsity, "cell_key"]
                    _draw(panel, [curves[key] for key in keys], colour)
            row[0].set_ylabel(f"{dataset}\ncontrastive loss (lower is better)")
        figure.legend(handles=_handles(colours), loc="outside right upper")
    return figure


def _draw(panel: Axes, curves: Sequence[Curve], colour: str) -> None:
    for metric, line, _ in LINES:
        points = mean_curve(curves, metric)
        # One epoch is no line: show it as a point.
        marker = "o" if len(points) == 1 else None
        panel.plot(
            [epoch for epoch, _ in points], [mean for _, mean in points],
            color=colour, linestyle=line, linewidth=1.8, marker=marker,
        )  # fmt: skip


def mean_curve(curves: Sequence[Curve], metric: str) -> list[tuple[float, float]]:
    """(epoch, mean over cells), of the epochs at which a cell has the metric as a finite number."""
    by_epoch: dict[float, list[float]] = defaultdict(list)
    for curve in curves:
        for epoch in curve:
            value = epoch.get(metric, math.nan)
            if math.isfinite(value):
                by_epoch[float(epoch["epoch"])].append(value)
    return [(x, math.fsum(values) / len(values)) for x, values in sorted(by_epoch.items())]


def _shades(count: int) -> list[str]:
    """Colours from dark to light that keep their order in grey and for the colour-blind."""
    shades = colormaps["viridis"](np.linspace(0, 0.85, count))
    return ["#" + "".join(f"{round(255 * part):02x}" for part in shade[:3]) for shade in shades]


def _handles(colours: dict[float, str]) -> list[Line2D]:
    sparsities = [
        Line2D([], [], color=colour, linewidth=3, label=f"S = {sparsity:g}")
        for sparsity, colour in colours.items()
    ]
    lines = [Line2D([], [], color="#444444", linestyle=line, label=name) for _, line, name in LINES]
    return sparsities + lines
