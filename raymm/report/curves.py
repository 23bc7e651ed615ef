"""The paper's figure 7: train and validation loss against the epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raymm.report.figures import STYLE, new_figure
from raymm.report.names import model_label, model_place
from raymm.sweep.cells import CellResult

LINES: tuple[tuple[str, Literal["solid", "dashed"], str], ...] = (
    ("loss/train", "solid", "train"),
    ("loss/val", "dashed", "validation"),
)


def loss_figure(results: Sequence[CellResult]) -> Figure | None:
    """Loss against epoch: a row of panels per data set, a panel per model, a colour per sparsity.

    Solid lines are the train loss, dashed ones the validation loss (the paper draws its test split
    here), each the mean over seeds. Cells that did not finish are left out.

    Returns:
        The figure; None if no finished cell has a curve.
    """
    drawn = [result for result in results if result.status == "finished" and result.curve]
    if not drawn:
        return None
    datasets = list(dict.fromkeys(result.dataset for result in drawn))
    models = sorted({result.cell.model.name for result in drawn}, key=model_place)
    sparsities = sorted({result.cell.data.sparsity for result in drawn})
    colours = dict(zip(sparsities, _shades(len(sparsities)), strict=True))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(rows=len(datasets))
        axes = figure.subplots(len(datasets), len(models), squeeze=False, sharey="row")
        for row, dataset in zip(axes, datasets, strict=True):
            for panel, model in zip(row, models, strict=True):
                panel.set_title(model_label(model))
                panel.set_xlabel("epoch")
                panel.xaxis.get_major_locator().set_params(integer=True)
                cells = [r for r in drawn if (r.dataset, r.cell.model.name) == (dataset, model)]
                panel.set_visible(bool(cells))
                for sparsity, colour in colours.items():
                    at_one = [r for r in cells if r.cell.data.sparsity == sparsity]
                    _draw(panel, at_one, colour)
            row[0].set_ylabel(f"{dataset}\ncontrastive loss (lower is better)")
        figure.legend(handles=_handles(colours), loc="outside right upper")
    return figure


def _draw(panel: Axes, cells: Sequence[CellResult], colour: str) -> None:
    for metric, line, _ in LINES:
        by_epoch: dict[float, list[float]] = defaultdict(list)
        for cell in cells:
            for epoch in cell.curve:
                if not np.isnan(epoch.get(metric, np.nan)):
                    by_epoch[epoch["epoch"]].append(epoch[metric])
        epochs = sorted(by_epoch)
        means = [float(np.mean(by_epoch[epoch])) for epoch in epochs]
        # One epoch is no line: show it as a point.
        marker = "o" if len(epochs) == 1 else None
        panel.plot(epochs, means, color=colour, linestyle=line, linewidth=1.8, marker=marker)


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
