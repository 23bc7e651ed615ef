"""`raymm report NAME ...`: the report of a sweep again, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from raymm.report.names import listed
from raymm.report.results import RESULTS, TRIALS, find_sweeps, folder_of
from raymm.report.terminal import weighing
from raymm.report.write import PAGE, write_record
from raymm.storage.address import joined
from raymm.storage.mirror import publish, working_folder


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
        StorageError: an address cannot be read or written.
    """
    if len(names) == 1:
        page = _of_search(folder_of(names[0], results_dir), to)
        if page is not None:
            return page
    with console.status(Text(f"reading {listed(names)}")):
        record = find_sweeps(
            names, results_dir=results_dir, tracking_uri=tracking_uri, storage=storage, samples=True
        )
    if to is not None:
        folder = working_folder(to)
    elif len(names) == 1:
        folder = folder_of(names[0], results_dir)
    else:
        both = "+".join(Path(name).resolve().name for name in names)
        folder = working_folder(joined(results_dir, both))
    for note in record.notes:
        console.print(f"note  {note}", soft_wrap=True, highlight=False)
    with weighing(console, len(record.cells)) as advance:
        write_record(record, folder, advance=advance)
    place = publish(folder)
    if place != str(folder):
        console.print(f"uploaded {place}", soft_wrap=True, highlight=False)
    return folder / PAGE


def _of_search(folder: Path, to: str | None) -> Path | None:
    """The page of a search, written again; None if the folder is no search's."""
    if not (folder / TRIALS).exists():
        return None
    from raymm.report.search_kept import read_search  # Optuna takes half a second
    from raymm.report.search_write import write_search_report

    record = read_search(folder)
    if record is None:
        return None
    target = folder if to is None else working_folder(to)
    write_search_report(record, target)
    publish(target)
    return target / PAGE
