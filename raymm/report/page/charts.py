"""The page's plots of metrics against sparsity, and the small ones of differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from raymm.report.names import better, metric_label, model_label, number
from raymm.report.page.axes import Axes, spread_range, thinned
from raymm.report.page.marks import Mark, marker
from raymm.report.page.markup import Markup, element
from raymm.report.statistics import FEWEST_SEEDS, interval, mean_std
from raymm.report.tables import conditions


def sparsity_panel(
    cells: pd.DataFrame, metric: str, marks: Mapping[str, Mark], name: str
) -> Markup | None:
    """A metric against sparsity, a line per model, with a band and each seed.

    The band is the 95 % interval of the mean where there are seeds enough, else one standard
    deviation; of a single point it is a bar. It is cut off where it leaves what means and seeds need.
    At a single sparsity the models stand side by side.

    Args:
        cells: of one data set.
        name: the same nowhere else on the page.

    Returns:
        The picture; None if no finished cell has the metric.
    """
    points: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
    for _, model, sparsity, rows in conditions(cells):
        values = rows[metric].dropna().to_list() if metric in rows else []
        if values:
            points[model].append((sparsity, values))
    if not points:
        return None
    every = [value for line in points.values() for _, values in line for value in values]
    sparsities = sorted(float(x) for x in cells["sparsity"].unique())
    gap = (sparsities[-1] - sparsities[0]) * 0.04 if len(sparsities) > 1 else 0.05
    axes = Axes((sparsities[0] - gap, sparsities[-1] + gap), spread_range(every), name)
    direction = better(metric)
    drawn = [model for model in marks if model in points]
    apart = 1.6 * gap / len(drawn) if len(sparsities) == 1 else 0.0
    content = [
        _line(
            axes,
            model,
            sorted(points[model], key=lambda point: point[0]),
            marks[model],
            shift=apart * (place - (len(drawn) - 1) / 2),
        )
        for place, model in enumerate(drawn)
    ]
    return axes.picture(
        content,
        title=metric_label(metric),
        subtitle=f"{direction} is better" if direction else "",
        x_label="modal sparsity S",
        x_ticks=thinned(sparsities),
        said=f"{metric_label(metric)} against modal sparsity for "
        f"{', '.join(model_label(model) for model in points)}; the numbers are in the tables",
    )


def _line(
    axes: Axes, model: str, points: Sequence[tuple[float, list[float]]], mark: Mark, *, shift: float
) -> Markup:
    means = [(x + shift, mean_std(values)[0]) for x, values in points]
    band = [(x + shift, *_band(values)) for x, values in points if len(values) > 1]
    parts = []
    if len(band) > 1:
        parts.append(element("path", d=axes.band(band), class_="band"))
    for x, low, high in band if len(points) == 1 else ():
        parts.append(element("path", d=axes.line([(x, low), (x, high)]), class_="line"))
    seeds = "".join(
        f"M{axes.at(x + shift, v)[0] - 4:g} {axes.at(x, v)[1]:g}h8"
        for x, values in points
        for v in values
    )
    parts.append(element("path", d=seeds, class_="seeds"))
    parts.append(
        element("path", d=axes.line(means), class_="line", stroke_dasharray=mark.dashes or None)
    )
    for (x, values), (place, mean) in zip(points, means, strict=True):
        path = marker(mark.marker, *axes.at(place, mean), 4.2)
        said = f"{model_label(model)}, S = {x:g}: {_said(values)}"
        parts.append(element("path", d=path, class_="mark", data_tip=said))
    return element("g", parts, class_=f"model c{mark.place}", data_model=model)


def _band(values: list[float]) -> tuple[float, float]:
    if len(values) >= FEWEST_SEEDS:
        return interval(values)
    mean, std = mean_std(values)
    return mean - std, mean + std


def _said(values: list[float]) -> str:
    mean, std = mean_std(values)
    if len(values) < 2:
        return f"{number(mean)} (1 seed)"
    text = f"{number(mean)} ± {number(std, like=mean)} ({len(values)} seeds"
    if len(values) < FEWEST_SEEDS:
        return text + ")"
    low, high = interval(values)
    return f"{text}, 95 % interval {number(low, like=mean)} to {number(high, like=mean)})"


def difference_bar(
    low: float, high: float, wide: tuple[float, float] | None, whole: float
) -> Markup:
    """An interval around 0 as a small picture; `wide` is the bootstrap's, drawn thin behind it.

    Args:
        whole: half the width of the picture in the differences' unit.
    """

    def at(value: float) -> float:
        return round(80 + 76 * max(-1.0, min(1.0, value / whole)), 1)

    parts = [element("path", d="M80 1v18", class_="axis")]
    if wide is not None:
        parts.append(element("path", d=f"M{at(wide[0]):g} 10H{at(wide[1]):g}", class_="thin"))
    parts.append(element("path", d=f"M{at(low):g} 10H{at(high):g}", class_="thick"))
    middle = at((low + high) / 2)
    parts.append(element("path", d=marker("circle", middle, 10, 3.5), class_="mark"))
    return element("svg", parts, viewBox="0 0 160 20", class_="bar", aria_hidden="true")
