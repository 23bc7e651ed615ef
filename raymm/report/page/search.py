"""`report.html` of a search: which settings were best, what mattered, and the way there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raymm.report.names import better, listed, metric_label, model_label, number
from raymm.report.page.ending import settings_and_versions
from raymm.report.page.markup import Markup, element, paragraph, section, table
from raymm.report.page.page import whole_page
from raymm.report.page.search_plots import (
    front,
    goal_label,
    history,
    parallel,
    shares_plot,
    title_of,
)
from raymm.report.search import gain, setting
from raymm.report.search_figures import FEWEST, importances
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.space import Space
from raymm.sweep.search.trials import Condition, TrialRecord


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """All that a search's page is made of.

    Attributes:
        best: of each condition that has a complete trial.
        spaces: what was searched, by model.
        command: that made it, to be run again.
    """

    name: str
    trials: Sequence[TrialRecord]
    best: Sequence[Best]
    goals: Sequence[Objective]
    spaces: Mapping[str, Space]
    command: str
    settings: Mapping[str, object]
    environment: Mapping[str, str]


def search_page(record: SearchRecord) -> str:
    """The whole page: nothing in it is fetched from anywhere."""
    by_condition: dict[Condition, list[TrialRecord]] = {}
    for trial in record.trials:
        by_condition.setdefault(trial.condition, []).append(trial)
    complete = {
        condition: done
        for condition, trials in by_condition.items()
        if (done := [trial for trial in trials if trial.state == "complete"])
    }
    content = [
        *_opening(record),
        *_best(record),
        *_parallel(record, complete),
        *_importance(record, complete),
        *_pareto(record, complete),
        *_history(record, {c: by_condition[c] for c in complete}),
        *_trials(record),
        *_making(record),
    ]
    return whole_page(record.name, content)


def _opening(record: SearchRecord) -> Iterator[Markup]:
    yield element("h1", record.name)
    states = [trial.state for trial in record.trials]
    counts = ", ".join(f"{states.count(state):,} {state}" for state in dict.fromkeys(states))
    conditions = len({trial.condition for trial in record.trials})
    chips = [f"{len(states):,} trials: {counts}", f"{conditions} conditions",
             f"objective: {listed(goal_label(goal) for goal in record.goals)}"]  # fmt: skip
    yield element("ul", [element("li", chip) for chip in chips], class_="chips")
    first = record.goals[0]
    compared = [found for found in record.best if found.default is not None]
    found_better = [found for found in compared if not found.trial.is_default]
    if not compared:
        return
    lead = (
        f"**By {goal_label(first)}, something better than the preset was found for "
        f"{len(found_better)} of {len(compared)} conditions.** "
    )
    if found_better:
        most = max(found_better, key=lambda each: _gain(each, first))
        lead += f"The most is {number(_gain(most, first))}, for {title_of(most.condition)}. "
    lead += (
        "The best of many trials looks better than it is, since it was chosen by the same numbers: "
        "what is gained is what a grid with other seeds shows on the test split "
        f"(`python sweeps/sparsity_grid.py --from-search {record.name}`)."
    )
    yield element("div", paragraph(lead), class_="lead")


def _gain(found: Best, goal: Objective) -> float:
    assert found.default is not None
    return gain(found.trial.objectives[goal.metric], found.default.objectives[goal.metric], goal)


def _best(record: SearchRecord) -> Iterator[Markup]:
    if not record.best:
        yield section("best", "Best settings", [paragraph("No trial is complete yet.")])
        return
    params = list(dict.fromkeys(name for found in record.best for name in found.trial.params))
    rows = []
    for found in record.best:
        row: list[str] = [model_label(found.condition.model), f"{found.condition.sparsity:g}"]
        row += [str(found.trial.number)]
        row += [setting(found.trial.params.get(name)) for name in params]
        for goal in record.goals:
            there = found.default.objectives[goal.metric] if found.default else None
            preset = "" if there is None else f" preset {number(there)}"
            value = number(found.trial.objectives[goal.metric])
            row.append(Markup(f"{value}{element('small', preset, class_='sd')}"))
        rows.append(row)
    header = ["model", "S", "trial", *(name.replace("_", " ") for name in params)]
    header += [goal_label(goal) for goal in record.goals]
    content = [table(header, rows, numbers=len(header) - 1)]
    shown = ("probe/auprc", "probe/pearson", "rank/median_mean", "uniformity/fusion")
    metrics = [name for name in shown if any(name in found.test for found in record.best)]
    if metrics:
        content.append(
            paragraph(
                "On the test split, which no other trial was scored on, mean over the search's seeds:"
            )
        )
        lines = [
            [model_label(found.condition.model), f"{found.condition.sparsity:g}",
             *(number(found.test[name]) if name in found.test else "-" for name in metrics)]
            for found in record.best
        ]  # fmt: skip
        labels = [f"{metric_label(name)} ({better(name)} is better)" for name in metrics]
        content.append(table(["model", "S", *labels], lines, numbers=len(metrics) + 1))
    yield section("best", "Best settings", content)


def _parallel(
    record: SearchRecord, complete: Mapping[Condition, Sequence[TrialRecord]]
) -> Iterator[Markup]:
    goal = record.goals[0]
    drawn = [parallel(trials, goal, record.spaces[c.model]) for c, trials in complete.items()]
    if drawn:
        read = (
            "Each line is a complete trial: what was searched on its own scale, and the objective at "
            "the right. Better trials are darker (in dark mode: deeper) and lie on top; point at a "
            "line for its numbers."
        )
        yield section("parallel", "Settings and objective", [paragraph(read), _plots(drawn)])


def _importance(
    record: SearchRecord, complete: Mapping[Condition, Sequence[TrialRecord]]
) -> Iterator[Markup]:
    shares = {
        condition: importances(trials, record.goals[0], record.spaces[condition.model])
        for condition, trials in complete.items()
        if len(trials) >= FEWEST
    }
    drawn = [shares_plot(condition, share) for condition, share in shares.items() if share]
    if drawn:
        read = (
            "Share of the objective's variance that each setting explains (fANOVA), of the complete "
            "trials of a condition; with few trials a rough estimate."
        )
        yield section("importance", "What mattered", [paragraph(read), _plots(drawn)])


def _pareto(
    record: SearchRecord, complete: Mapping[Condition, Sequence[TrialRecord]]
) -> Iterator[Markup]:
    if len(record.goals) < 2 or not complete:
        return
    drawn = [
        front(trials, record.goals, f"p{place}") for place, trials in enumerate(complete.values())
    ]
    read = (
        "The first two objectives of the complete trials; joined are those that no other beats by "
        "all objectives. A diamond is the preset."
    )
    yield section("pareto", "Pareto set", [paragraph(read), _plots(drawn)])


def _history(
    record: SearchRecord, trials: Mapping[Condition, Sequence[TrialRecord]]
) -> Iterator[Markup]:
    drawn = [
        history(all_of_it, record.goals[0], f"h{place}")
        for place, all_of_it in enumerate(trials.values())
    ]
    if drawn:
        read = (
            "Dots are complete trials, the line is the best so far, dashed the preset; crosses are "
            "trials that were pruned or failed."
        )
        yield section("history", "How the search went", [paragraph(read), _plots(drawn)])


def _plots(drawn: Sequence[Markup]) -> Markup:
    return element("div", drawn, class_="plots")


def _trials(record: SearchRecord) -> Iterator[Markup]:
    params = list(dict.fromkeys(name for trial in record.trials for name in trial.params))
    rows = [
        [model_label(t.condition.model), f"{t.condition.sparsity:g}", str(t.number), t.state,
         t.reason, *(setting(t.params.get(name)) for name in params),
         *(number(t.objectives[g.metric]) if g.metric in t.objectives else "-"
           for g in record.goals)]
        for t in record.trials
    ]  # fmt: skip
    header = ["model", "S", "trial", "state", "why", *(name.replace("_", " ") for name in params)]
    header += [goal_label(goal) for goal in record.goals]
    whole = table(header, rows, numbers=len(header) - 5, id="all-trials", class_="cells")
    summary = element("summary", f"Show all {len(rows):,}")
    yield section("trials", "All trials", [element("details", [summary, whole])])


def _making(record: SearchRecord) -> Iterator[Markup]:
    content = [
        paragraph("The search; trials that are complete are not run again:"),
        element("pre", element("code", record.command)),
        paragraph("All numbers are in `trials.csv`, the best settings in `best.csv`."),
        *settings_and_versions(record.settings, record.environment),
    ]
    yield section("making", "How it was made", content)
