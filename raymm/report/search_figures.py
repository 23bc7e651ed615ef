"""Figures of a search: the way it went, what mattered, and the Pareto set. One panel a condition."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raymm.report.figures import STYLE, new_figure
from raymm.report.names import directed_label, metric_label
from raymm.report.search import best_so_far, setting
from raymm.sweep.search.best import pareto
from raymm.sweep.search.objective import VALIDATION, Objective
from raymm.sweep.search.space import Space
from raymm.sweep.search.trials import Condition, TrialRecord

FEWEST = 4
"""Complete trials from which importances are estimated."""
COLUMNS = 3
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"
ByCondition = Mapping[Condition, Sequence[TrialRecord]]

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "search_history": (
        "How the search went",
        "The first objective of each complete trial (dots) and the best so far (line), on the "
        "validation split; dashed is the preset, crosses at the edge are trials that were pruned or "
        "failed.",
    ),
    "search_parallel": (
        "Settings and objective",
        "Each line is a complete trial: what was searched on its own scale, and the first "
        "objective, by which lines are coloured (dark is better).",
    ),
    "search_importance": (
        "What mattered",
        "Share of the objective's variance that each setting explains (fANOVA), from the complete "
        "trials of each condition; with few trials a rough estimate.",
    ),
    "search_pareto": (
        "Pareto set",
        "The first two objectives of the complete trials; joined are those that no other beats by "
        "all objectives. Diamonds are the presets.",
    ),
}


def search_figures(
    trials: Sequence[TrialRecord], goals: Sequence[Objective], spaces: Mapping[str, Space]
) -> dict[str, Figure]:
    """Those of `CAPTIONS` that there are numbers for, by name.

    Args:
        spaces: what was searched, by model.
    """
    conditions = list(dict.fromkeys(trial.condition for trial in trials))
    complete = {
        condition: [t for t in trials if t.condition == condition and t.state == "complete"]
        for condition in conditions
    }
    complete = {condition: found for condition, found in complete.items() if found}
    if not complete:
        return {}
    everything = {c: [t for t in trials if t.condition == c] for c in complete}
    goal = goals[0]
    figures = {
        "search_history": _panels(
            everything, lambda panel, found: _history(panel, found, goal), _label(goal)
        ),
        "search_parallel": _panels(
            complete,
            lambda panel, found: _parallel(panel, found, goal, spaces[found[0].condition.model]),
            "",
        ),
    }
    judged = {c: found for c, found in complete.items() if len(found) >= FEWEST}
    shares = {c: importances(found, goal, spaces[c.model]) for c, found in judged.items()}
    known = {condition: judged[condition] for condition, share in shares.items() if share}
    if known:
        figures["search_importance"] = _panels(
            known, lambda panel, found: _bars(panel, shares[found[0].condition]), ""
        )
    if len(goals) > 1:
        figures["search_pareto"] = _panels(
            complete, lambda panel, found: _front(panel, found, goals), _label(goals[1])
        )
    return figures


def importances(trials: Sequence[TrialRecord], goal: Objective, space: Space) -> dict[str, float]:
    """Share of an objective's variance that each setting explains (Hutter et al., 2014).

    Args:
        trials: complete ones of one condition.

    Returns:
        By setting, the largest first; empty where all trials are equally good.
    """
    values = [trial.objectives[goal.metric] for trial in trials]
    if len(set(values)) < 2:
        return {}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction=goal.direction)
        for trial, value in zip(trials, values, strict=True):
            study.add_trial(
                optuna.create_trial(
                    params=dict(trial.params), distributions=dict(space), value=value
                )
            )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    finally:
        optuna.logging.set_verbosity(before)


def _label(goal: Objective) -> str:
    """ "validation probe average precision (higher is better)"."""
    plain = goal.metric.removeprefix(VALIDATION)
    whole = ("validation " if plain != goal.metric else "") + directed_label(plain)
    return whole.replace(" (", "\n(")


def _panels(
    trials: ByCondition, draw: Callable[[Axes, Sequence[TrialRecord]], None], label: str
) -> Figure:
    rows = -(-len(trials) // COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(rows=rows)
        panels = figure.subplots(rows, min(COLUMNS, len(trials)), squeeze=False)
        for place, panel in enumerate(panels.flat):
            if place >= len(trials):
                panel.remove()
        for place, panel in enumerate(panels.flat):
            panel.set_axisbelow(True)
            if label and place % panels.shape[1] == 0 and place < len(trials):
                panel.set_ylabel(label)
        for panel, (condition, found) in zip(panels.flat, trials.items(), strict=False):
            panel.set_title(condition.title)
            draw(panel, found)
    return figure


def _history(panel: Axes, trials: Sequence[TrialRecord], goal: Objective) -> None:
    values = {t.number: t.objectives[goal.metric] for t in trials if t.state == "complete"}
    best = best_so_far(trials, goal)
    panel.plot(list(values), list(values.values()), "o", color=BLUE, alpha=0.7)
    panel.step(list(best), list(best.values()), where="post", color=BLUE, linewidth=2)
    default = next((t for t in trials if t.is_default and t.objectives), None)
    if default is not None:
        panel.axhline(default.objectives[goal.metric], color=GREY, linestyle="--")
    lost = [t.number for t in trials if t.state in ("pruned", "failed")]
    edge = min(values.values()) if goal.maximise else max(values.values())
    panel.plot(lost, [edge] * len(lost), "x", color=ORANGE)
    panel.set_xlabel("trial")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _parallel(panel: Axes, trials: Sequence[TrialRecord], goal: Objective, space: Space) -> None:
    """Parallel coordinates: each axis from 0 to 1, its ends written at it."""
    values = np.array([trial.objectives[goal.metric] for trial in trials])
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    colours = ScalarMappable(Normalize(-0.25, 1), "Blues").to_rgba(
        shares if goal.maximise else 1 - shares
    )
    for trial, share, colour in sorted(
        zip(trials, shares, colours, strict=True), key=lambda item: item[1] * goal.maximise
    ):
        heights = [_height(space[name], trial.params[name]) for name in space]
        panel.plot(range(len(space) + 1), [*heights, share], color=colour, linewidth=1.8)
    panel.set_xticks(
        range(len(space) + 1),
        [name.replace("_", "\n") for name in space] + [metric_label(goal.metric).split("/")[-1]],
        fontsize=9,
    )
    ends = [_ends(distribution) for distribution in space.values()]
    for place, (bottom, top) in enumerate([*ends, (f"{low:.3g}", f"{high:.3g}")]):
        for height, text in ((-0.04, bottom), (1.04, top)):
            panel.text(place, height, text, ha="center", va="center", fontsize=8)
    panel.set_ylim(-0.1, 1.1)
    panel.set_yticks([])


def _height(distribution: object, value: object) -> float:
    """Where a value is on its axis, from 0 to 1."""
    if isinstance(distribution, CategoricalDistribution):
        last = max(len(distribution.choices) - 1, 1)
        return list(distribution.choices).index(value) / last  # type: ignore[arg-type]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    ends = np.array([distribution.low, distribution.high, value], dtype=float)
    low, high, at = np.log(ends) if distribution.log else ends
    return float((at - low) / (high - low))


def _ends(distribution: object) -> tuple[str, str]:
    if isinstance(distribution, CategoricalDistribution):
        return setting(distribution.choices[0]), setting(distribution.choices[-1])
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return setting(distribution.low), setting(distribution.high)


def _bars(panel: Axes, shares: Mapping[str, float]) -> None:
    names = list(shares)[::-1]
    panel.barh([name.replace("_", " ") for name in names], [shares[n] for n in names], color=BLUE)
    panel.set_xlim(0, 1)


def _front(panel: Axes, trials: Sequence[TrialRecord], goals: Sequence[Objective]) -> None:
    first, second = (goal.metric for goal in goals[:2])
    panel.plot(
        [t.objectives[first] for t in trials],
        [t.objectives[second] for t in trials],
        "o",
        color=GREY,
    )
    front = sorted(pareto(trials, goals), key=lambda trial: trial.objectives[first])
    panel.plot(
        [t.objectives[first] for t in front],
        [t.objectives[second] for t in front],
        "o-",
        color=BLUE,
    )
    for trial in trials:
        if trial.is_default:
            panel.plot(trial.objectives[first], trial.objectives[second], "D", color=ORANGE)
    panel.set_xlabel(_label(goals[0]))
