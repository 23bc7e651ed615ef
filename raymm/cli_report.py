"""`raymm report NAME ...`."""

from __future__ import annotations

from rich.console import Console
from tyro.conf import Positional

from raymm.errors import SweepError


def report(
    names: Positional[tuple[str, ...]],
    results_dir: str = "results",
    tracking_uri: str | None = None,
    storage: str | None = None,
    to: str | None = None,
) -> int:
    """Write the report of a sweep again, or compare several sweeps.

    Writes report.html (one page, opens from disk), report.md, tables (CSV, LaTeX) and figures (PNG,
    SVG). A sweep does this itself when it ends. Several sweeps must be of the same data; their report
    goes into a folder of its own.

    Args:
        names: names of sweeps, or paths of their results folders.
        results_dir: folder or s3:// address of the results folders.
        tracking_uri: MLflow store to look in for a sweep without results folder; the local one if
            not given.
        storage: root of the cells' folders, where what they kept of single samples lies; where the
            sweep put them if not given.
        to: folder or s3:// address to write into; the sweep's own, or A+B for several, if not given.
    """
    if not names:
        raise SweepError("Give the name of a sweep, or several: raymm report NAME [NAME ...]")
    from raymm.report.make import make_report  # matplotlib and pandas take a second

    console = Console()
    page = make_report(
        names,
        console,
        results_dir=results_dir,
        tracking_uri=tracking_uri,
        storage=storage,
        to=to,
    )
    console.print(f"report  {page}", soft_wrap=True, highlight=False)
    return 0
