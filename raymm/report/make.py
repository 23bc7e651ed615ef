"""`raymm report NAME ...`: the report of a sweep again, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from raymm.report.results import RESULTS, find_sweeps, folder_of
from raymm.report.terminal import weighing
from raymm.report.write import PAGE, write_record


def make_report(
    names: Sequence[str],
    console: Console,
    *,
    results_dir: str = RESULTS,
    tracking_uri: str | None = None,
    storage: str | None = None,
    to: str | None = None,
) -> Path:
    """Find the sweeps, write their report, and return the page's path.

    Args:
        names: of sweeps, or paths of results folders.
        results_dir: folder of the results folders.
        tracking_uri: MLflow store to look in for sweeps that are not there.
        storage: root of the cells' folders, if it is not where the sweep says.
        to: folder to write into; the sweep's own if not given, or `A+B` in `results_dir` of several.

    Raises:
        SweepError: there is no such sweep, or the sweeps are not of the same data.
        TrackingError: MLflow cannot be asked.
    """
    record = find_sweeps(
        names, results_dir=results_dir, tracking_uri=tracking_uri, storage=storage, samples=True
    )
    if to is not None:
        folder = Path(to)
    elif len(names) == 1:
        folder = folder_of(names[0], results_dir)
    else:
        folder = Path(results_dir) / "+".join(Path(name).resolve().name for name in names)
    for note in record.notes:
        console.print(f"note  {note}", soft_wrap=True, highlight=False)
    with weighing(console, len(record.cells)) as advance:
        write_record(record, folder, advance=advance)
    return folder / PAGE
