"""The page's plots of losses against the epoch (the paper's figure 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from raymm.report.curves import mean_curve
from raymm.report.names import model_label, number
from raymm.report.page.axes import Axes
from raymm.report.page.marks import marker, shade
from raymm.report.page.markup import Markup, element
from raymm.report.record import Curve
from raymm.report.tables import conditions

CURVES = (("loss/train", "train", ""), ("loss/val", "validation", "5 3"))


def loss_panel(
    cells: pd.DataFrame, curves: Mapping[str, Curve], sparsities: Sequence[float], model: str,
    y: tuple[float, float], name: str,
) -> Markup | None:  # fmt: skip
    """Train and validation loss against the epoch, mean over seeds, a colour per sparsity.

    Args:
        cells: of one data set and model.
        sparsities: all that have a colour on the page, ascending.
        y: the axis, shared with the other models' panels.

    Returns:
        The picture; None if no finished cell has a curve.
    """
    content, last = [], 1.0
    drawn = []
    for _, _, sparsity, rows in conditions(cells):
        mine = [curves[key] for key in rows["cell_key"] if key in curves]
        lines = [(dash, label, mean_curve(mine, metric)) for metric, label, dash in CURVES]
        if not any(points for *_, points in lines):
            continue
        last = max([last, *(x for *_, points in lines for x, _ in points)])
        drawn.append((sparsity, lines))
    if not drawn:
        return None
    axes = Axes((1.0, last) if last > 1 else (0.5, 1.5), y, name)
    for sparsity, lines in drawn:
        place = shade(list(sparsities).index(sparsity), len(sparsities))
        parts = []
        for dash, label, points in lines:
            if not points:
                continue
            end = f"{label} loss {number(points[-1][1])} at the end"
            tip = f"{model_label(model)}, S = {sparsity:g}: {end}"
            if len(points) == 1:
                path = marker("circle", *axes.at(*points[0]), 3)
                parts.append(element("path", d=path, class_="mark", data_tip=tip))
                continue
            path = axes.line(points)
            parts.append(element("path", d=path, class_="line", stroke_dasharray=dash or None))
            parts.append(element("path", d=path, class_="touch", data_tip=tip))
        content.append(element("g", parts, class_=f"s{place}", data_sparsity=f"{sparsity:g}"))
    every = max(1, math.ceil(last / 6))
    return axes.picture(
        content,
        title=model_label(model),
        subtitle="contrastive loss (lower is better)",
        x_label="epoch",
        x_ticks=list(range(every if every > 1 else 1, int(last) + 1, every)),
        said=f"Train and validation loss of {model_label(model)} against the epoch",
    )
