"""Writes a search's results folder: tables, figures and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from raymm.report.figures import image
from raymm.report.files import write_whole
from raymm.report.markdown_table import settings_rows, table
from raymm.report.names import model_label, number
from raymm.report.page.search import SearchRecord, search_page
from raymm.report.search import best_frame, setting, trials_frame
from raymm.report.search_figures import CAPTIONS, search_figures
from raymm.report.search_kept import SEARCH_FILE, search_text
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import TrialRecord


def write_search_report(record: SearchRecord, folder: Path) -> None:
    """Write `trials.csv`, `best.csv`, `search.json`, figures, `report.md` and `report.html`, each whole
    or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    trials, best, goals = record.trials, record.best, record.goals
    folder.mkdir(parents=True, exist_ok=True)
    chosen = best_frame(best, goals)
    for frame, file in ((trials_frame(trials), "trials.csv"), (chosen, "best.csv")):
        write_whole(folder / file, frame.to_csv(index=False, lineterminator="\n").encode())
    figures = search_figures(trials, goals, record.spaces)
    for stem, figure in figures.items():
        write_whole(folder / f"{stem}.png", image(figure, "png"))
        write_whole(folder / f"{stem}.svg", image(figure, "svg"))
    parts = [f"# {record.name}", *_headline(trials, best, goals), *_best(best, goals), *_test(best)]
    parts += [
        f"## {CAPTIONS[stem][0]}\n\n![]({stem}.png)\n\n{CAPTIONS[stem][1]}" for stem in figures
    ]
    parts += _not_complete(trials)
    parts += ["## How it was made", f"```\n{record.command}\n```"]
    parts += ["### Settings", table(["setting", "value"], settings_rows(record.settings))]
    parts += [
        "### Versions and machine",
        table(["what", "which"], record.environment.items()),
    ]
    write_whole(folder / "report.md", ("\n\n".join(parts) + "\n").encode())
    write_whole(folder / SEARCH_FILE, search_text(record).encode())
    write_whole(folder / "report.html", search_page(record).encode())


def _headline(
    trials: Sequence[TrialRecord], best: Sequence[Best], goals: Sequence[Objective]
) -> Iterator[str]:
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield f"{len(trials)} trials of {len({t.condition for t in trials})} conditions: {counts}."
    first = goals[0]
    compared = [found for found in best if found.default is not None]
    better = [found for found in compared if not found.trial.is_default]
    if compared:
        yield (
            f"Something better than the preset, by {first.metric} on the validation split, was "
            f"found for {len(better)} of {len(compared)} conditions. The best of many trials looks "
            "better than it is, since it was chosen by the same numbers: what is gained is what a "
            "grid with other seeds shows on the test split (`sparsity_grid.py --from-search`)."
        )


def _best(best: Sequence[Best], goals: Sequence[Objective]) -> Iterator[str]:
    yield "## Best settings"
    if not best:
        yield "No trial is complete yet."
        return
    params = list(dict.fromkeys(name for found in best for name in found.trial.params))
    metrics = [goal.metric for goal in goals]
    rows = [
        [
            model_label(found.condition.model),
            f"{found.condition.sparsity:g}",
            str(found.trial.number),
            *(setting(found.trial.params.get(name)) for name in params),
            *(
                f"{number(found.trial.objectives[metric])} "
                f"({number(found.default.objectives[metric]) if found.default else '-'})"
                for metric in metrics
            ),
        ]
        for found in best
    ]
    yield table(["model", "S", "trial", *params, *metrics], rows)
    yield "In brackets the preset. All values are in `best.csv`, all trials in `trials.csv`."
    if len(goals) > 1:
        sizes = ", ".join(f"{found.condition.title}: {len(found.pareto)}" for found in best)
        yield (
            f"Of the trials that no other beats by all objectives (the Pareto set; {sizes}) this is "
            f"the one with the best {metrics[0]}."
        )


def _test(best: Sequence[Best]) -> Iterator[str]:
    shown = ("probe/auprc", "probe/pearson", "rank/median_mean", "uniformity/fusion",
             "alignment/mean")  # fmt: skip
    scored = [found for found in best if found.test]
    metrics = [name for name in shown if any(name in found.test for found in scored)]
    if not metrics:
        return
    yield "## The best settings on the test split"
    rows = [
        [
            model_label(found.condition.model),
            f"{found.condition.sparsity:g}",
            *(number(found.test[name]) for name in metrics),
        ]
        for found in scored
    ]
    yield table(["model", "S", *metrics], rows)
    yield "Mean over the search's seeds. No other trial was scored on the test split."


def _not_complete(trials: Sequence[TrialRecord]) -> Iterator[str]:
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        yield "## Failed trials"
        rows = [[t.condition.title, str(t.number), t.reason] for t in failed]
        yield table(["condition", "trial", "reason"], rows)
