"""A search as a person reads it before it runs."""

from __future__ import annotations

import dataclasses

from rich.console import Console
from rich.table import Table

from raymm.errors import SweepError
from raymm.sweep.cells import Cell
from raymm.sweep.search.run import Search
from raymm.sweep.search.space import space_words
from raymm.sweep.search.storage import dashboard_command

ENDED = ("complete", "pruned", "fail")


def print_search(search: Search, console: Console) -> None:
    """Show what the search would do. Starts nothing and writes nothing."""
    sweep, settings = search.sweep, search.settings
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    samples = f"{sweep.dataset.name}: {len(sweep.dataset.ids):,} samples"
    spaces = settings.spaces(sweep.dataset)
    trials = {model: settings.trials_of(space) for model, space in spaces.items()}
    wanted = sum(trials[condition.model] for condition in settings.conditions)
    table.add_row("search", sweep.name)
    table.add_row("data", samples)
    table.add_row("conditions", f"{len(settings.conditions)}: {settings.summary()}")
    table.add_row(
        "trials",
        f"{wanted} in all, {max(trials.values())} for each condition, of {len(settings.seeds)} "
        f"seed(s): {wanted * len(settings.seeds)} cells at most",
    )
    for title, states in search.begun.items():
        if states:
            counts = ", ".join(f"{count} {state}" for state, count in states.items())
            table.add_row("", f"{title}: {counts}")
    for model, space in spaces.items():
        words = "  ".join(f"{name} {word}" for name, word in space_words(space).items())
        table.add_row("space", f"{model}: {words}")
    goals = settings.goals(sweep.dataset)
    table.add_row("objective", ", ".join(f"{goal.direction} {goal.metric}" for goal in goals))
    table.add_row("sampler", settings.sampler)
    pruned = "" if settings.pruner == "none" else f", by {settings.prune_on}"
    table.add_row("pruner", settings.pruner + pruned)
    table.add_row("studies", dashboard_command(search.address))
    if not settings.plan:
        table.add_row("results", str(sweep.folder))
        table.add_row("checkpoints", sweep.storage)
        table.add_row("MLflow", sweep.ledger.ui_command)
    console.print(table)


def show_search_plan(search: Search, console: Console) -> None:
    """Show what the search would do and take, as if all its trials took what the preset does.

    Starts nothing and writes nothing.

    Raises:
        SweepError: no cell can be placed on this machine or cluster; said after the rest.
        RaymmError: ledger, storage or price list cannot be read.
    """
    from raymm.sweep.forecast import forecast
    from raymm.sweep.plan_view import needs_table, totals_table

    print_search(search, console)
    to_come = dataclasses.replace(search.sweep, cells=cells_to_come(search), finished={})
    if to_come.cells:
        with console.status("looking at the ledger, the storage and the cluster"):
            found = forecast(to_come)
        console.print()
        console.print(needs_table(found))
        console.print()
        console.print(totals_table(to_come, found))
        if found.refusal:
            raise SweepError(found.refusal)


def cells_to_come(search: Search) -> list[Cell]:
    """A cell with the preset's settings for each that is still to be trained, with a key of none."""
    sweep, settings = search.sweep, search.settings
    spaces = settings.spaces(sweep.dataset)
    found: list[Cell] = []
    for condition in settings.conditions:
        states = search.begun[condition.title]
        ended = sum(states.get(state, 0) for state in ENDED)
        left = max(0, settings.trials_of(spaces[condition.model]) - ended)
        preset = settings.cells(sweep.dataset, condition, {})
        found += [
            Cell(f"to-come-{len(found)}-{number}", cell.config)
            for number, cell in enumerate(preset * left)
        ]
    return found
