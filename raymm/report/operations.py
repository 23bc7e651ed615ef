"""The report of the sweep over fusion operations: one table, and what it shows in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from raymm.report.markdown import flat

RIDGE = "ridge regression"
RECALLS = (1, 5, 10)
PER_CENT = 100.0


def operations_frame(
    rows: Sequence[Mapping[str, object]], directions: Sequence[str], ridge: Mapping[str, float]
) -> pd.DataFrame:
    """One row for each operation, mean over its seeds, and one for ridge regression.

    Args:
        rows: one for each finished cell: "operation", "epochs", "loss/val" and the metrics
            "retrieval/<direction>_recall_at_<k>".
        directions: as "image_to_text".
        ridge: the same metrics of ridge regression.

    Returns:
        Indexed by model; columns "<direction> R@<k>" as shares of 1, "loss/val", "epochs", "seeds".
    """
    cells = pd.DataFrame(list(rows))
    columns = {
        f"{direction.replace('_', ' ')} R@{k}": f"retrieval/{direction}_recall_at_{k}"
        for direction in directions
        for k in RECALLS
    }
    made: dict[str, dict[str, float]] = {}
    for operation, group in cells.groupby("operation", sort=False):
        found = {name: float(group[metric].mean()) for name, metric in columns.items()}
        found["loss/val"] = float(group["loss/val"].mean())
        found["epochs"] = float(group["epochs"].mean())
        made[f"CBMF, {operation}"] = {**found, "seeds": float(len(group))}
    made[RIDGE] = {name: ridge[metric] for name, metric in columns.items()}
    return pd.DataFrame.from_dict(made, orient="index")


def verdict(frame: pd.DataFrame, pairs: int) -> list[str]:
    """In words: whether CBMF is better than ridge regression, and how sure that is.

    Args:
        frame: as of `operations_frame`.
        pairs: held-out pairs behind each recall.
    """
    names = [name for name in frame.columns if " R@" in name]
    ridge, cbmf = frame.loc[RIDGE, names], frame.drop(index=RIDGE)[names]
    wins = {name: int((row > ridge).sum()) for name, row in cbmf.iterrows()}
    most = max(wins.values())
    best = " and ".join(str(name) for name, count in wins.items() if count == most)
    error = math.sqrt(0.25 / pairs) * PER_CENT
    lines = [
        f"{best}: better than ridge regression in {most} of the {len(names)} recalls.",
        f"A recall over {pairs} pairs has a standard error of up to {error:.1f} points: smaller "
        "differences may be chance.",
    ]
    behind = [str(name) for name, count in wins.items() if count * 2 < len(names)]
    if behind:
        lines.insert(1, f"Worse than ridge regression in most recalls: {'; '.join(behind)}.")
    return lines


def operations_table(frame: pd.DataFrame, title: str) -> Table:
    """The frame for a terminal: recalls in per cent; the best of each column bold."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for name in frame.columns:
        table.add_column(str(name), justify="right")
    for model, cells in _shown(frame).items():
        table.add_row(model, *cells)
    return table


def write_operations_report(
    frame: pd.DataFrame,
    lines: Iterable[str],
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
) -> None:
    """Write `operations.csv` and `report.md`."""
    frame.to_csv(folder / "operations.csv", index_label="model", lineterminator="\n")
    header = ["", *map(str, frame.columns)]
    body = [[model, *cells] for model, cells in _shown(frame, bold="**{}**").items()]
    parts = [
        f"# {name}",
        *lines,
        markdown_table(header, body),
        "Recalls in per cent, on pairs that no model has seen; loss/val and epochs as early stopping "
        "chose them. Numbers: `operations.csv`.",
        f"## How it was made\n\n```\n{command}\n```",
        "### Settings\n\n"
        + markdown_table(["setting", "value"], [list(row) for row in flat(settings)]),
        "### Versions and machine\n\n"
        + markdown_table(["what", "which"], [list(row) for row in environment.items()]),
    ]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")


def _shown(frame: pd.DataFrame, bold: str = "[bold]{}[/bold]") -> dict[str, list[str]]:
    shown: dict[str, list[str]] = {str(model): [] for model in frame.index}
    for name in frame.columns:
        column = frame[name]
        recall = " R@" in str(name)
        for model, value in column.items():
            text = _figure(float(value), str(name))
            best = recall and float(value) == float(column.max())
            shown[str(model)].append(bold.format(text) if best else text)
    return shown


def _figure(value: float, name: str) -> str:
    if math.isnan(value):
        return ""
    if " R@" in name:
        return f"{PER_CENT * value:.1f}"
    return f"{value:.3f}" if name == "loss/val" else f"{value:g}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(cell: object) -> str:
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return " ".join(text.replace("|", "\\|").split())
