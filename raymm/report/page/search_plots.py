"""The plots of a search's page, one condition each: history, parallel coordinates, shares, Pareto."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raymm.report.names import metric_label, model_label, number
from raymm.report.page.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axes,
    spread_range,
    ticks,
)
from raymm.report.page.marks import marker, shade
from raymm.report.page.markup import Markup, element
from raymm.report.search import best_so_far, setting
from raymm.sweep.search.best import pareto
from raymm.sweep.search.objective import VALIDATION, Objective
from raymm.sweep.search.space import Space
from raymm.sweep.search.trials import Condition, TrialRecord

SHADES = 9


def title_of(condition: Condition) -> str:
    """ "MCA, S = 0.4"."""
    return f"{model_label(condition.model)}, S = {condition.sparsity:g}"


def goal_label(goal: Objective) -> str:
    """ "validation probe average precision"."""
    plain = goal.metric.removeprefix(VALIDATION)
    return ("validation " if plain != goal.metric else "") + metric_label(plain)


def tip_of(trial: TrialRecord) -> str:
    """All of a trial in a line."""
    settings = ", ".join(f"{name} {setting(value)}" for name, value in trial.params.items())
    values = ", ".join(f"{name} {number(value)}" for name, value in trial.objectives.items())
    preset = " (preset)" if trial.is_default else ""
    return f"trial {trial.number}{preset}: {values or trial.state}; {settings}"


def history(trials: Sequence[TrialRecord], goal: Objective, name: str) -> Markup:
    """The first objective of each trial, and the best so far."""
    complete = [trial for trial in trials if trial.state == "complete"]
    values = [trial.objectives[goal.metric] for trial in complete]
    numbers = [trial.number for trial in trials]
    axes = Axes((min(numbers) - 0.5, max(numbers) + 0.5), spread_range(values), name)
    best = sorted(best_so_far(trials, goal).items())
    steps: list[tuple[float, float]] = []
    for at, value in best:
        steps += [(at, steps[-1][1]), (at, value)] if steps else [(at, value)]
    content = []
    preset = next((t for t in complete if t.is_default), None)
    if preset is not None:
        height = round(axes.up(preset.objectives[goal.metric]), 1)
        content.append(
            element("path", d=f"M{LEFT:g} {height:g}H{WIDTH - RIGHT:g}", class_="preset")
        )
    content.append(element("path", d=axes.line(steps), class_="line"))
    for trial in complete:
        path = marker("circle", *axes.at(trial.number, trial.objectives[goal.metric]), 3.5)
        content.append(element("path", d=path, class_="mark", data_tip=tip_of(trial)))
    edge = axes.y[0] if goal.maximise else axes.y[1]
    for trial in trials:
        if trial.state in ("pruned", "failed"):
            x, y = axes.at(trial.number, edge)
            y += -6 if goal.maximise else 6
            said = f"trial {trial.number} {trial.state}: {trial.reason}"
            path = f"M{x - 3:g} {y - 3:g}l6 6m0 -6l-6 6"
            content.append(element("path", d=path, class_="lost", data_tip=said))
    return axes.picture(
        [element("g", content, class_="c0")],
        title=title_of(trials[0].condition),
        subtitle=f"{goal_label(goal)}, {'higher' if goal.maximise else 'lower'} is better",
        x_label="trial",
        x_ticks=[tick for tick in ticks(*axes.x) if tick == int(tick)],
        said=f"Objective of the trials of {title_of(trials[0].condition)}",
    )


def parallel(trials: Sequence[TrialRecord], goal: Objective, space: Space) -> Markup:
    """Parallel coordinates: a line per complete trial, through its settings to its objective."""
    values = [trial.objectives[goal.metric] for trial in trials]
    low, high = min(values), max(values)
    names = list(space)
    columns = len(names) + 1
    gap = (WIDTH - 70) / max(1, columns - 1)
    places = [35 + gap * column for column in range(columns)]
    top, bottom = TOP + 14, HEIGHT - BOTTOM - 16

    def height(share: float) -> float:
        return round(bottom - share * (bottom - top), 1)

    parts = [element("text", title_of(trials[0].condition), x=10, y=16, class_="t")]
    goodness = {
        trial.number: (value - low) / (high - low) if high > low else 0.5
        for trial, value in zip(trials, values, strict=True)
    }
    # The best last, so that they lie on top.
    for trial in sorted(trials, key=lambda t: goodness[t.number] * (1 if goal.maximise else -1)):
        shares = [share_of(space[name], trial.params[name]) for name in names]
        shares.append(goodness[trial.number])
        points = [f"{x:.1f} {height(y):g}" for x, y in zip(places, shares, strict=True)]
        good = goodness[trial.number] if goal.maximise else 1 - goodness[trial.number]
        colour = shade(round((1 - good) * (SHADES - 1)), SHADES)
        parts.append(
            element("path", d="M" + "L".join(points), class_=f"trial s{colour}",
                    data_tip=tip_of(trial))
        )  # fmt: skip
    ends = [_ends(space[name]) for name in names] + [(number(low), number(high))]
    labels = [*(name.replace("_", " ") for name in names), goal_label(goal).split()[-1]]
    for place, (x, (first, last), label) in enumerate(zip(places, ends, labels, strict=True)):
        parts.append(element("path", d=f"M{x:.1f} {top:g}V{bottom:g}", class_="axis"))
        parts.append(element("text", last, x=round(x, 1), y=top - 6, class_="e"))
        parts.append(element("text", first, x=round(x, 1), y=bottom + 14, class_="e"))
        # Labels in two rows, so that neighbours do not touch.
        parts.append(
            element("text", label, x=round(x, 1), y=bottom + 32 + 14 * (place % 2), class_="e")
        )
    said = f"Settings and objective of the complete trials of {title_of(trials[0].condition)}"
    box = f"0 0 {WIDTH:g} {HEIGHT + 10:g}"
    return element("svg", parts, viewBox=box, role="img", aria_label=said, class_="plot")


def shares_plot(condition: Condition, shares: Mapping[str, float]) -> Markup:
    """A bar for each setting: its share of the objective's variance."""
    parts = [element("text", title_of(condition), x=10, y=16, class_="t")]
    for place, (name, share) in enumerate(shares.items()):
        y = 34 + 26 * place
        width = round(max(1.0, 210 * share), 1)
        parts.append(element("text", name.replace("_", " "), x=112, y=y + 12, class_="y"))
        parts.append(element("rect", x=118, y=y, width=width, height=16, class_="share"))
        parts.append(element("text", f"{share:.0%}", x=round(124 + width, 1), y=y + 12, class_="q"))
    box = f"0 0 {WIDTH:g} {44 + 26 * len(shares)}"
    said = f"Importance of the settings of {title_of(condition)}"
    return element("svg", parts, viewBox=box, role="img", aria_label=said, class_="plot")


def front(trials: Sequence[TrialRecord], goals: Sequence[Objective], name: str) -> Markup:
    """The first two objectives of the complete trials; those no other beats are joined."""
    first, second = goals[:2]
    points = {t.number: (t.objectives[first.metric], t.objectives[second.metric]) for t in trials}
    axes = Axes(
        spread_range([x for x, _ in points.values()]),
        spread_range([y for _, y in points.values()]),
        name,
    )
    best = sorted(points[trial.number] for trial in pareto(trials, goals))
    inside = set(best)
    content = [element("path", d=axes.line(best), class_="line c0")]
    for trial in trials:
        shape = "diamond" if trial.is_default else "circle"
        path = marker(shape, *axes.at(*points[trial.number]), 4)
        colour = "c0" if points[trial.number] in inside else "c5"
        content.append(element("path", d=path, class_=f"mark {colour}", data_tip=tip_of(trial)))
    return axes.picture(
        content,
        title=title_of(trials[0].condition),
        subtitle=f"up: {goal_label(second)}",
        x_label=goal_label(first),
        x_ticks=ticks(*axes.x),
        said=f"Pareto set of {title_of(trials[0].condition)}",
    )


def share_of(distribution: object, value: object) -> float:
    """Where a value is between the ends of its space, from 0 to 1."""
    if isinstance(distribution, CategoricalDistribution):
        choices = list(distribution.choices)
        place: float = choices.index(value)  # type: ignore[arg-type]
        return place / max(len(choices) - 1, 1)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    ends = [float(distribution.low), float(distribution.high), float(value)]  # type: ignore[arg-type]
    low, high, at = (math.log(end) for end in ends) if distribution.log else ends
    return (at - low) / (high - low) if high > low else 0.5


def _ends(distribution: object) -> tuple[str, str]:
    if isinstance(distribution, CategoricalDistribution):
        return setting(distribution.choices[0]), setting(distribution.choices[-1])
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return setting(distribution.low), setting(distribution.high)
