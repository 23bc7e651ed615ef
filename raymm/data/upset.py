"""Which modalities samples have together, as an UpSet plot.

Lex et al., UpSet: Visualization of Intersecting Sets (2014): a column for each combination, the
largest first; dots say what is in it, bars how many samples have just that.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COMBINATIONS_SHOWN = 24
INK, FAINT, BLUE = "#222222", "#d9d9d9", "#3b6ea5"


def combinations(presence: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The combinations of modalities that occur and how often: the most frequent, then the larger.

    Args:
        presence: (samples, modalities) which sample has which.

    Returns:
        (combinations, modalities) and (combinations,).
    """
    rows, counts = np.unique(presence, axis=0, return_counts=True)
    order = np.lexsort((-rows.sum(axis=1), -counts))
    return rows[order], counts[order].astype(np.int64)


def upset_plot(names: Sequence[str], presence: NDArray[np.bool_], kind: str = "png") -> bytes:
    """Draw the plot.

    Args:
        names: of the modalities.
        presence: (samples, modalities).
        kind: "png" or "svg".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows, counts = combinations(presence)
    rest = int(counts[COMBINATIONS_SHOWN:].sum())
    rows, counts = rows[:COMBINATIONS_SHOWN], counts[:COMBINATIONS_SHOWN]
    width = 3.6 + 0.34 * max(len(rows), 6)
    height = 2.6 + 0.3 * len(names)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 2, width_ratios=[1, max(2.0, len(rows) / 4)], height_ratios=[2, 0.35 * len(names) + 0.3]
    )
    bars, dots = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    sizes = figure.add_subplot(grid[1, 0])
    places = np.arange(len(rows))

    bars.bar(places, counts, color=BLUE, width=0.6)
    most = int(counts.max())
    for place, count in zip(places.tolist(), counts.tolist(), strict=True):
        bars.annotate(
            f"{count:,}", (place, count), ha="center", va="bottom", fontsize=7, rotation=90,
            xytext=(0, 2), textcoords="offset points",
        )  # fmt: skip
    bars.set_ylim(0, 1.3 * most)
    bars.set_ylabel("samples with just these", fontsize=9)
    bars.tick_params(axis="y", labelsize=8)
    bars.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bars.set_xticks([])
    more = f" ({rest:,} samples in rarer ones)" if rest else ""
    bars.set_title(f"{len(presence):,} samples by the modalities they have{more}", fontsize=9)

    heights = np.arange(len(names))[::-1]
    for place, row in zip(places.tolist(), rows, strict=True):
        dots.scatter([place] * len(names), heights, s=34, color=FAINT, zorder=1)
        held = heights[row]
        dots.scatter([place] * len(held), held, s=34, color=INK, zorder=3)
        if len(held) > 1:
            dots.plot([place, place], [held.min(), held.max()], color=INK, linewidth=1.5, zorder=2)
    dots.set_xlim(bars.get_xlim())
    dots.set_ylim(-0.6, len(names) - 0.4)
    dots.set_xticks([])
    dots.set_yticks(heights, names, fontsize=9)
    dots.tick_params(axis="y", length=0)

    totals = presence.sum(axis=0)
    sizes.barh(heights, totals, color=BLUE, height=0.55)
    for place, total in zip(heights.tolist(), totals.tolist(), strict=True):
        share = f"{100 * total / len(presence):.0f} %"
        sizes.annotate(share, (total, place), ha="right", va="center", fontsize=7,
                       xytext=(-3, 0), textcoords="offset points")  # fmt: skip
    sizes.set_xlim(1.45 * len(presence), 0)
    sizes.set_ylim(dots.get_ylim())
    sizes.set_yticks([])
    sizes.set_xlabel("samples", fontsize=8)
    sizes.tick_params(axis="x", labelsize=7)
    sizes.locator_params(axis="x", nbins=3)
    for axes in (bars, dots, sizes):
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    bars.spines["left"].set_visible(True)
    dots.spines["bottom"].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150)
    return buffer.getvalue()
