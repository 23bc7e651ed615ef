"""Writes a sweep's results folder: tables, figures and the report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from raymm.report.comparisons import comparisons_frame
from raymm.report.curves import loss_figure
from raymm.report.figures import FIGURE_4, FIGURE_5, FIGURE_6, image, sparsity_figure
from raymm.report.markdown import MAIN_METRICS, report_text
from raymm.report.tables import cells_frame, ordered_results, summary_frame
from raymm.sweep.cells import CellResult


def write_report(
    results: Sequence[CellResult],
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
) -> None:
    """Write `cells.csv`, `summary.csv`, `comparisons.csv`, figures 4 to 7 and `report.md`.

    Each file is written aside and then renamed, so a reader never sees half of one. The same
    results make the same bytes, in whatever order they come. A figure that no cell has numbers for
    is left out.

    Args:
        results: the cells of a sweep, failed ones too.
        folder: where to; made if need be, files of the same names are replaced.
        name: of the sweep.
        command: that made it, to be run again.
        settings: of the sweep, nested or flat.
        environment: versions and machine, for instance {"torch": "2.13.0", "cores": "2"}.

    Raises:
        SweepError: two results stand for the same condition and seeds.
        OSError: the folder cannot be written.
    """
    results = ordered_results(results)
    cells = cells_frame(results)
    comparisons = comparisons_frame(cells, [metric for metric in MAIN_METRICS if metric in cells])
    folder.mkdir(parents=True, exist_ok=True)
    for frame, file in (
        (cells, "cells.csv"),
        (summary_frame(cells), "summary.csv"),
        (comparisons, "comparisons.csv"),
    ):
        _write(folder / file, frame.to_csv(index=False, lineterminator="\n").encode())
    figures = list(_draw(results, cells, folder))
    text = report_text(
        cells,
        comparisons,
        figures,
        name=name,
        command=command,
        settings=settings,
        environment=environment,
    )
    _write(folder / "report.md", text.encode())


def _draw(results: Sequence[CellResult], cells: pd.DataFrame, folder: Path) -> Iterator[str]:
    """Write each figure that there are numbers for, and name it."""
    figures = {
        "figure_4": sparsity_figure(cells, FIGURE_4),
        "figure_5": sparsity_figure(cells, FIGURE_5),
        "figure_6": sparsity_figure(cells, FIGURE_6),
        "figure_7": loss_figure(results),
    }
    for stem, figure in figures.items():
        if figure is not None:
            _write(folder / f"{stem}.png", image(figure, "png"))
            _write(folder / f"{stem}.svg", image(figure, "svg"))
            yield stem


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    os.replace(aside, path)
