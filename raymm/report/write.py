"""Writes a sweep's results folder: tables, figures, the report in Markdown and as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from raymm.report.cross import read_cross
from raymm.report.curves import loss_figure
from raymm.report.evidence import Evidence, weigh
from raymm.report.figures import FIGURE_4, FIGURE_5, FIGURE_6, image, sparsity_figure
from raymm.report.files import write_whole
from raymm.report.folder import ABOUT, CURVES, about_text
from raymm.report.kept import load_samples
from raymm.report.latex import tables_text
from raymm.report.markdown import report_text
from raymm.report.page.page import page_text
from raymm.report.record import SweepRecord, record_of
from raymm.report.tables import ordered_results, summary_frame
from raymm.sweep.cells import CellResult

PAGE, MARKDOWN = "report.html", "report.md"


def write_report(
    results: Sequence[CellResult],
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
    storage: str | None = None,
    fingerprints: Mapping[str, str] | None = None,
    advance: Callable[[int], None] = lambda cells: None,
) -> Evidence:
    """Write all that `write_record` writes, of results at hand.

    Args:
        results: the cells of a sweep, failed ones too.
        folder: where to; made if need be, files of the same names are replaced.
        name: of the sweep.
        command: that made it, to be run again.
        settings: of the sweep, nested or flat.
        environment: versions and machine, for instance {"torch": "2.13.0", "cores": "2"}.
        storage: root of the cells' folders, in which lies what they kept of their test split;
            without it nothing is said of single samples.
        fingerprints: of the data, by name of the data set.
        advance: called with the number of cells done; on thousands this takes a minute.

    Returns:
        What the report says, for a table at the end.

    Raises:
        SweepError: two results stand for the same condition and seeds.
        OSError: the folder cannot be written.
    """
    results = ordered_results(results)
    finished = [result.key for result in results if result.status == "finished"]
    samples, notes = load_samples(storage, finished)
    record = record_of(
        results,
        name=name,
        command=command,
        settings=settings,
        environment=environment,
        samples=samples,
        fingerprints=fingerprints,
        storage=storage,
        cross=read_cross(folder),
    )
    record = dataclasses.replace(record, notes=(*record.notes, *notes))
    return write_record(record, folder, advance=advance)


def write_record(
    record: SweepRecord,
    folder: Path,
    *,
    advance: Callable[[int], None] = lambda cells: None,
) -> Evidence:
    """Write tables (CSV, LaTeX), figures 4 to 7 (PNG, SVG), `report.md` and `report.html`, and
    `report.json`, from which and the tables `raymm.report.folder` makes the record again.

    Each file is written aside and then renamed, so a reader never sees half of one. The same
    record makes the same bytes. A `report.md` is not replaced if the record does not know the command
    that made the sweep. A figure that no cell has numbers for is left out, and so is a
    table of samples where none were kept.

    Returns:
        What the report says.

    Raises:
        OSError: the folder cannot be written.
    """
    evidence = weigh(record, advance)
    folder.mkdir(parents=True, exist_ok=True)
    for file, frame in _frames(evidence):
        write_whole(folder / file, frame.to_csv(index=False, lineterminator="\n").encode())
    figures = list(_draw(record, folder))
    # An earlier version's folder does not say how it was made but in its report: leave that alone.
    if record.command or not (folder / MARKDOWN).exists():
        write_whole(folder / MARKDOWN, report_text(evidence, figures).encode())
    write_whole(folder / ABOUT, about_text(record).encode())
    write_whole(folder / "tables.tex", tables_text(evidence).encode())
    write_whole(folder / PAGE, page_text(evidence).encode())
    return evidence


def _frames(evidence: Evidence) -> Iterator[tuple[str, pd.DataFrame]]:
    record = evidence.record
    yield "cells.csv", record.cells
    yield "summary.csv", summary_frame(record.cells)
    yield "comparisons.csv", evidence.comparisons
    if record.curves:
        rows = [
            {"cell_key": key, **epoch} for key, curve in record.curves.items() for epoch in curve
        ]
        yield CURVES, pd.DataFrame(rows)
    if record.samples:
        yield "bootstrap.csv", evidence.bootstrap
        yield "combinations.csv", evidence.combinations


def _draw(record: SweepRecord, folder: Path) -> Iterator[str]:
    """Write each figure that there are numbers for, and name it."""
    cells = record.cells
    figures = {
        "figure_4": sparsity_figure(cells, FIGURE_4),
        "figure_5": sparsity_figure(cells, FIGURE_5),
        "figure_6": sparsity_figure(cells, FIGURE_6),
        "figure_7": loss_figure(cells, record.curves),
    }
    for stem, figure in figures.items():
        if figure is not None:
            write_whole(folder / f"{stem}.png", image(figure, "png"))
            write_whole(folder / f"{stem}.svg", image(figure, "svg"))
            yield stem
