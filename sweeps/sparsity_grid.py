"""Which fusion model holds up best as modalities go missing?

    python sweeps/sparsity_grid.py                           # built-in data, minutes on a laptop
    python sweeps/sparsity_grid.py --plan                    # what that would train, and where
    python sweeps/sparsity_grid.py --dataset my/tables --seeds 0 1 2 3 4
    python sweeps/sparsity_grid.py --preset paper --gpu A10G --address auto
    ray job submit --working-dir . -- python sweeps/sparsity_grid.py --address auto ...

The same command again trains only what is not finished. Every setting: --help.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence

import tyro
from rich.console import Console
from rich.text import Text

from raymm.errors import RaymmError
from raymm.sweep.grid import GridSettings
from raymm.sweep.plan import claim_places, prepare_sweep, print_plan
from raymm.tracking import without_credentials

DONE, SOME_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def run(settings: GridSettings, command: str, console: Console) -> int:
    """Run the sweep, or only show its plan; returns the exit status."""
    sweep = prepare_sweep(settings)
    print_plan(sweep, console)
    if settings.plan:
        return DONE
    claim_places(sweep)

    from raymm.report.terminal import (
        summary_table,
    )  # these two load much that a plan can do without
    from raymm.report.write import write_report
    from raymm.sweep.environment import environment
    from raymm.sweep.runner import run_sweep

    results = run_sweep(sweep, console)
    statuses = [result.status for result in results]
    write_report(
        results,
        sweep.folder,
        name=sweep.name,
        command=command,
        settings=shareable(settings),
        environment=environment(),
    )
    console.print(summary_table(results))
    console.print(f"results  {sweep.folder}/report.md", soft_wrap=True, highlight=False)
    console.print(f"MLflow   {sweep.tracker.ui_command}", soft_wrap=True, highlight=False)
    if "stopped" in statuses:
        sweep.tracker.close_sweep("KILLED")
        console.print(f"Interrupted. The same command goes on: {command}", soft_wrap=True)
        return INTERRUPTED
    if "failed" in statuses:
        sweep.tracker.close_sweep("FAILED")
        failed = (
            f"{statuses.count('failed')} cell(s) failed; tracebacks in {sweep.folder}/failures.log"
        )
        console.print(failed, style="red", soft_wrap=True)
        return SOME_FAILED
    sweep.tracker.close_sweep("FINISHED")
    return DONE


def shareable(settings: GridSettings) -> dict[str, object]:
    """The settings as a report may show them: without passwords in addresses."""
    return {
        name: without_credentials(value) if isinstance(value, str) else value
        for name, value in dataclasses.asdict(settings).items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; a user's mistake is told without traceback."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # Passwords in addresses must not end in the report, which may be published, nor on the screen.
    command = without_credentials(shlex.join(["python", "sweeps/sparsity_grid.py", *arguments]))
    try:
        settings = tyro.cli(GridSettings, args=arguments, prog="sparsity_grid.py")
        return run(settings, command, Console())
    except RaymmError as error:
        message = Text.assemble(("error ", "bold red"), str(error))
        Console(stderr=True, soft_wrap=True).print(message)
        return REFUSED
    except KeyboardInterrupt:
        Console(stderr=True).print(f"Interrupted. The same command goes on: {command}")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
