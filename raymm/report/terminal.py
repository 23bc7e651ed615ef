"""The table that ends a sweep in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from raymm.report.collapse import collapsed
from raymm.report.embedding_map import has_umap
from raymm.report.evidence import Evidence
from raymm.report.grids import Grid, metric_grid, seeds_of
from raymm.report.names import HEADLINE_METRICS, directed_label, model_label
from raymm.report.statistics import FEWEST_SEEDS


def summary_table(evidence: Evidence, metrics: Sequence[str] | None = None) -> Table:
    """Mean and standard deviation over seeds: models down, sparsities across, a block per metric.

    Three models and five sparsities fit into 80 columns. A mean is bold where its lead over every
    other model holds.

    Args:
        evidence: of a sweep, as `raymm.report.write.write_report` returns it.
        metrics: a block each; None for the main probe metric and the mean median rank.
    """
    wanted = HEADLINE_METRICS if metrics is None else metrics
    blocks = Table.grid()
    for dataset in evidence.datasets:
        for metric in wanted:
            grid = metric_grid(evidence.of(dataset), dataset, metric)
            if grid is not None:
                # Not the table's own title: that would be folded to the table's width.
                blocks.add_row(Text(f"{directed_label(metric)}, {dataset}", style="bold"))
                blocks.add_row(_block(evidence, dataset, grid))
    for line in _footnotes(evidence):
        blocks.add_row(Text(line, style="dim"))
    return blocks


@contextmanager
def weighing(console: Console, cells: int) -> Iterator[Callable[[int], None]]:
    """Show how far the tests over samples are; yields what is told of cells done.

    A bar where a person looks on, nothing where the output goes to a file.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        if has_umap():
            bar.console.print("umap-learn is installed: its maps of embeddings take up to a minute")
        task = bar.add_task("testing over samples", total=cells)
        yield lambda done: bar.advance(task, done)


def _block(evidence: Evidence, dataset: str, grid: Grid) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("model")
    for sparsity in grid.sparsities:
        table.add_column(f"S = {sparsity:g}", justify="right", no_wrap=True)
    leaders = {sparsity: evidence.leader(dataset, grid, sparsity) for sparsity in grid.sparsities}
    for model in grid.models:
        row = [Text(model_label(model))]
        for sparsity in grid.sparsities:
            entry = grid.entries.get((model, sparsity))
            style = "bold" if leaders[sparsity] == model else ""
            row.append(Text("-" if entry is None else str(entry), style=style))
        table.add_row(*row)
    return table


def _footnotes(evidence: Evidence) -> Iterator[str]:
    fewest, most = seeds_of(evidence.record.cells)
    if most == 0:
        yield "No cell finished."
        return
    seeds = f"{most} seed{'s' if most > 1 else ''}"
    if fewest < most:
        seeds = f"{fewest} to {seeds}"
    spread = "mean ± standard deviation over" if most > 1 else "of"
    yield f"{spread} {seeds}; -: no finished cell"
    if most < FEWEST_SEEDS:
        yield f"with fewer than {FEWEST_SEEDS} seeds no difference can be tested"
    else:
        yield "bold: the lead over every other model holds (tested, Holm's correction)"
    yield from collapsed(evidence.record.cells)
