"""What the scripts in sweeps/ share: a command line, an exit status, and a report at the end."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tyro
from rich.console import Console
from rich.text import Text

from raymm.errors import RaymmError
from raymm.storage.address import without_credentials
from raymm.storage.mirror import publish
from raymm.sweep.calibrate import calibrate
from raymm.sweep.cells import CellResult
from raymm.sweep.grid import GridSettings
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep, print_plan
from raymm.sweep.plan_view import show_plan
from raymm.sweep.settings import SweepSettings
from raymm.sweep.settle import PATIENCE_S, caught_up, settle

if TYPE_CHECKING:
    from raymm.sweep.search.run import Found, Search

DONE, SOME_FAILED, REFUSED, UNRECORDED, INTERRUPTED = 0, 1, 2, 3, 130
CLOSED = {DONE: "FINISHED", SOME_FAILED: "FAILED", INTERRUPTED: "KILLED"}

Settings = TypeVar("Settings")
Run = Callable[[Settings, str, Console], int]
"""Runs a sweep, given its settings and its command line, and returns the exit status."""


def main(kind: type[Settings], script: str, run: Run[Settings], arguments: Sequence[str]) -> int:
    """Read a script's command line and run it; a user's mistake is told without traceback.

    Args:
        kind: the settings that the command line fills in; its docstrings are the help text.
        script: the script's path as a person types it.
        arguments: the command line after the script's name.

    Returns:
        Exit status: 0, 1 if cells failed, 2 if the sweep was refused, 3 if MLflow was away at the end
        and did not come back, 130 after Ctrl-C.
    """
    # Passwords in addresses must not end in the report, which may be published, nor on the screen.
    command = without_credentials(shlex.join(["python", script, *arguments]))
    try:
        settings = tyro.cli(kind, args=arguments, prog=Path(script).name)
        return run(settings, command, Console())
    except RaymmError as error:
        message = Text.assemble(("error ", "bold red"), str(error))
        Console(stderr=True, soft_wrap=True).print(message)
        return REFUSED
    except KeyboardInterrupt:
        Console(stderr=True).print(f"Interrupted. The same command goes on: {command}")
        return INTERRUPTED


def run_grid(settings: SweepSettings, command: str, console: Console) -> int:
    """Run a sweep whose cells are known beforehand, or only show its plan."""
    sweep = prepare_sweep(settings)
    if settings.calibrate:
        calibrate(sweep, console)
    if settings.plan or settings.calibrate:
        show_plan(sweep, console)
        return DONE
    return train_grid(sweep, command, console)[0]


def train_grid(sweep: Sweep, command: str, console: Console) -> tuple[int, list[CellResult]]:
    """Train what is not finished of a prepared sweep; the exit status, and what came of all cells."""
    print_plan(sweep, console)
    claim_places(sweep)

    from raymm.sweep.runner import run_sweep  # Ray takes seconds, which a plan can do without

    with sweep.ledger:
        results = run_sweep(sweep, console)
        return conclude(sweep, results, command, console), results


def conclude(sweep: Sweep, results: Sequence[CellResult], command: str, console: Console) -> int:
    """Write the report, say where everything is, close the sweep's run; returns the exit status."""
    from raymm.report.terminal import summary_table, weighing
    from raymm.report.write import write_report
    from raymm.sweep.environment import environment

    with weighing(console, len(results)) as advance:
        evidence = write_report(
            results,
            sweep.folder,
            name=sweep.name,
            command=command,
            settings=shareable(sweep.settings),
            environment=environment(),
            storage=sweep.storage,
            fingerprints={sweep.dataset.name: sweep.dataset.fingerprint},
            advance=advance,
        )
    console.print(summary_table(evidence))
    console.print(f"results  {sweep.folder}/report.html", soft_wrap=True, highlight=False)
    status = exit_status(results)
    failed = sum(result.status == "failed" for result in results)

    def showing() -> None:
        from raymm.showcase.show import show

        chosen = sweep.settings
        if isinstance(chosen, GridSettings):
            show(sweep, results, console, models=chosen.log_models, register=chosen.register)

    return close(sweep, status, failed, command, console, showing)


def conclude_search(search: Search, found: Found, command: str, console: Console) -> int:
    """Write a search's report, say what is best and where it is; returns the exit status."""
    from raymm.report.page.search import SearchRecord
    from raymm.report.search import best_table
    from raymm.report.search_write import write_search_report
    from raymm.sweep.environment import environment
    from raymm.sweep.search.storage import dashboard_command

    sweep, settings = search.sweep, search.settings
    goals = settings.goals(sweep.dataset)
    record = SearchRecord(
        name=sweep.name,
        trials=found.trials,
        best=found.best,
        goals=goals,
        spaces=settings.spaces(sweep.dataset),
        command=command,
        settings=shareable(settings),
        environment=environment(),
    )
    write_search_report(record, sweep.folder)
    console.print(best_table(found.best, goals))
    status = INTERRUPTED if found.open else SOME_FAILED if found.failed else DONE
    conclusion = {
        "results": f"{sweep.folder}/report.html",
        "studies": dashboard_command(search.address),
        "grid": f"python sweeps/sparsity_grid.py --from-search {sweep.name} ...",
    }
    for what, where in conclusion.items():
        console.print(f"{what:<8} {where}", soft_wrap=True, highlight=False)

    def showing() -> None:
        from raymm.showcase.show import show_search

        show_search(sweep, found.trials, found.best, goals, console)

    return close(sweep, status, len(found.failed), command, console, showing)


def close(
    sweep: Sweep,
    status: int,
    failed: int,
    command: str,
    console: Console,
    show: Callable[[], None] | None,
) -> int:
    """Say where everything is and how to go on; close the sweep's run; returns the exit status.

    Args:
        show: shows a sweep that was not interrupted in MLflow; called when that has all cells; None if
            there is nothing to show.
    """
    place = publish(sweep.folder)
    if place != str(sweep.folder):
        console.print(f"uploaded {place}", soft_wrap=True, highlight=False)
    console.print(f"MLflow   {sweep.ledger.ui_command}", soft_wrap=True, highlight=False)
    came = caught_up(sweep.ledger, console)
    if came and show and status != INTERRUPTED:
        show()
    sweep.ledger.close_sweep(CLOSED[status])
    recorded = settle(sweep.ledger, console, PATIENCE_S if came else 0.0)
    if status == INTERRUPTED:
        console.print(f"Interrupted. The same command goes on: {command}", soft_wrap=True)
    elif status == SOME_FAILED:
        text = f"{failed} cell(s) failed; tracebacks in {sweep.folder}/failures.log"
        console.print(text, style="red", soft_wrap=True)
    return status if recorded or status == INTERRUPTED else UNRECORDED


def exit_status(results: Sequence[CellResult]) -> int:
    """What the results make of a sweep: interrupted, failed in part, or done."""
    statuses = {result.status for result in results}
    if "stopped" in statuses:
        return INTERRUPTED
    return SOME_FAILED if "failed" in statuses else DONE


def shareable(settings: SweepSettings) -> dict[str, object]:
    """The settings as a report may show them: without passwords in addresses."""
    return {
        name: without_credentials(value) if isinstance(value, str) else value
        for name, value in dataclasses.asdict(settings).items()
    }


def script(kind: type[Settings], path: str, run: Run[Settings]) -> None:
    """Run a script of sweeps/ and end the process with its exit status."""
    sys.exit(main(kind, path, run, sys.argv[1:]))
