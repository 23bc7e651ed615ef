"""What a task returns: numbers under stable names, and tables with the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.tasks.paper import MARK, Columns

PER_CENT = 100.0
MOST_ROWS = 10
"""Rows of a table that a terminal shows; of a longer one some, evenly spread. Files have them all."""


@dataclass(frozen=True)
class TaskTable:
    """A table of a task.

    Attributes:
        name: for a file.
        title: for people.
        frame: one row for each figure, one column for each model; the index names the figures, and
            columns that begin with "paper: " are the paper's.
    """

    name: str
    title: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Attributes:
        task: its name, as the command line has it.
        dataset: name of the data set.
        metrics: of the model evaluated, under stable names.
        curves: metric -> step -> value, of the model evaluated.
        tables: with the baselines and the paper's figures.
        notes: what has to be known to read them.
    """

    task: str
    dataset: str
    metrics: Mapping[str, float]
    tables: tuple[TaskTable, ...] = ()
    notes: tuple[str, ...] = ()
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """The tables as CSV and the notes as text, by file name."""
        found = {f"{table.name}.csv": table.frame.to_csv() for table in self.tables}
        return {**found, "notes.txt": "".join(f"{note}\n" for note in self.notes)}


def compared(
    rows: Sequence[str], ours: Mapping[str, Mapping[str, float]], paper: Columns
) -> pd.DataFrame:
    """Ours beside the paper's, in per cent.

    Args:
        rows: names of the figures, in order.
        ours: column -> figure -> share of 1; a figure that a column lacks is nan.
        paper: column -> figure -> per cent.

    Returns:
        (rows, columns) frame, the paper's columns last and marked.
    """
    columns = {
        name: [PER_CENT * values.get(row, float("nan")) for row in rows]
        for name, values in ours.items()
    }
    columns |= {
        f"{MARK}{name}": [values.get(row, float("nan")) for row in rows]
        for name, values in paper.items()
    }
    return pd.DataFrame(columns, index=pd.Index(rows, name=""))


def shown(result: TaskResult) -> RenderableType:
    """The tables and notes of a task for a terminal."""
    parts: list[RenderableType] = [_table(each) for each in result.tables]
    parts += [Text(note, style="dim") for note in result.notes]
    return Group(*parts)


def print_result(result: TaskResult, console: Console) -> None:
    """Print the tables and notes of a task."""
    console.print(shown(result))


def _table(table: TaskTable) -> Table:
    step = -(-len(table.frame) // MOST_ROWS)
    frame = table.frame.iloc[step - 1 :: step]
    title = table.title if step == 1 else f"{table.title}; rows {step}, {2 * step}, {3 * step} ..."
    shown = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    shown.add_column("", no_wrap=True)
    for name in frame.columns:
        style = "dim" if str(name).startswith(MARK) else "none"
        shown.add_column(str(name), justify="right", style=style, overflow="fold", min_width=6)
    for row, values in zip(frame.index, frame.to_numpy(), strict=True):
        shown.add_row(_figure(row), *(_figure(value) for value in values))
    return shown


def _figure(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.2f}"
    return str(value)
