"""Commands that read the ledger: `raymm status NAME`, `raymm replay RUN`."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional

from raymm.sweep.replay import TOLERANCE, find_cell, load_for, replay, replay_table
from raymm.sweep.status import print_status, read_status
from raymm.tracking import Store

DIFFERENT = 1


def status(name: Positional[str], tracking_uri: str | None = None) -> int:
    """Show where a sweep stands, also while it runs elsewhere: cells by condition, time left.

    Args:
        name: the sweep's name, as its plan shows it.
        tracking_uri: MLflow server or database, as the sweep has it. Without it:
            sqlite:///mlruns/mlflow.db.
    """
    print_status(read_status(Store(tracking_uri), name), Console())
    return 0


def replay_cell(
    run: Positional[str],
    dataset: str | None = None,
    tolerance: float = TOLERANCE,
    tracking_uri: str | None = None,
) -> int:
    """Train one recorded cell again, here and without Ray, and say whether it got the same numbers.

    Nothing is recorded, and nothing is kept. Exits with status 1 if a number differs.

    Args:
        run: MLflow run id, cell key, or the run's name ("mca S=0.4 seed=1").
        dataset: where the data are now. Without it: where they were.
        tolerance: largest difference that counts as the same; relative for numbers above 1. On the
            CPU the default holds; on a GPU, or with another number of workers, sums are rounded
            in another order.
        tracking_uri: MLflow server or database. Without it: sqlite:///mlruns/mlflow.db.
    """
    from raymm.sweep.ledger import Ledger

    console = Console()
    store = Store(tracking_uri)
    found = find_cell(store, run)
    config, data = load_for(found, dataset)
    console.print(f"{found.name}  cell {found.tags['raymm.cell_key']}", highlight=False)
    columns = (TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=config.train.epochs)
        ledger = Ledger(tracking_uri, data.name)
        compared = replay(
            ledger, found, config, data, lambda epoch: bar.update(task, completed=epoch)
        )
    console.print(replay_table(compared, tolerance))
    other = sum(each.difference > tolerance for each in compared)
    if other:
        text = f"{other} of {len(compared)} numbers differ by more than {tolerance:g}"
        console.print(text, style="red", highlight=False)
        return DIFFERENT
    console.print(f"all {len(compared)} numbers are the same", style="green", highlight=False)
    return 0
