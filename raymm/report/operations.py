"""The report of the sweep over fusion operations: two tables, and what they show in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table

from raymm.report.markdown_table import settings_rows, table

RIDGE = "ridge regression"
RECALLS = (1, 5, 10)
PER_CENT = 100.0
NORMAL_95 = 1.96
"""Standard errors on each side of a mean that hold 95 % of a normal distribution."""
MEAN, LEAD, ERROR = "mean recall", "above ridge", "standard error"
OVERALL = [f"R@{k}" for k in RECALLS]
"""Columns of recalls over both directions."""

Ranks = Mapping[str, NDArray[np.float64]]
"""Direction ("image_to_text") -> (n,) rank of each held-out pair's match; 1 is best."""


@dataclass(frozen=True)
class ScoredCell:
    """A finished training and how it retrieves the held-out pairs.

    Attributes:
        model: its row in the table; the trainings of one row differ in their seed alone.
        epochs: trained.
        loss: lowest validation loss.
        ranks: of the held-out pairs, in one order for all cells and both directions.
    """

    model: str
    epochs: int
    loss: float
    ranks: Ranks


def operations_frame(
    cells: Sequence[ScoredCell], ridge: Ranks, groups: NDArray[np.int64]
) -> pd.DataFrame:
    """One row for each model, mean over its seeds, and one for ridge regression.

    "above ridge" is the difference in mean recall, and "standard error" that of this difference over
    the held-out pairs: each pair is scored by the model and by ridge regression, so that pairs that are
    easy for both do not count, and pairs of one group (captions of one photo) count as one.

    Args:
        cells: in the order of the rows.
        ridge: ranks by ridge regression.
        groups: (n,) group of each held-out pair.

    Returns:
        Indexed by model; columns "R@<k>" (mean of the directions), "mean recall" (mean of those),
        "above ridge", "standard error", "<direction> R@<k>", all as shares of 1; "loss/val",
        "epochs", "seeds".
    """
    made: dict[str, dict[str, float]] = {}
    base = _score(ridge)
    for model in dict.fromkeys(cell.model for cell in cells):
        chosen = [cell for cell in cells if cell.model == model]
        ahead = np.mean([_score(cell.ranks) for cell in chosen], axis=0) - base
        made[model] = {
            **_mean_of([_recalls(cell.ranks) for cell in chosen]),
            LEAD: float(ahead.mean()),
            ERROR: clustered_error(ahead, groups),
            "loss/val": float(np.mean([cell.loss for cell in chosen])),
            "epochs": float(np.mean([cell.epochs for cell in chosen])),
            "seeds": float(len(chosen)),
        }
    made[RIDGE] = _recalls(ridge)
    return pd.DataFrame.from_dict(made, orient="index")


def _recalls(ranks: Ranks) -> dict[str, float]:
    by_direction = {
        f"{direction.replace('_', ' ')} R@{k}": float((of <= k).mean())
        for direction, of in ranks.items()
        for k in RECALLS
    }
    overall = {
        f"R@{k}": float(np.mean([(of <= k).mean() for of in ranks.values()])) for k in RECALLS
    }
    return {**overall, MEAN: float(np.mean(list(overall.values()))), **by_direction}


def _mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _score(ranks: Ranks) -> NDArray[np.float64]:
    """Each pair's share in the mean recall, (n,)."""
    hits = [(of <= k).astype(np.float64) for of in ranks.values() for k in RECALLS]
    score: NDArray[np.float64] = np.mean(hits, axis=0)
    return score


def clustered_error(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Standard error of the mean of (n,) values that come in independent groups.

    It is the square root of the sum of squared group sums of deviations, over n (Liang & Zeger, 1986);
    where every group is one value, that of independent values.
    """
    sums = pd.Series(values - values.mean()).groupby(groups).sum()
    count = len(sums)
    corrected = count / (count - 1) if count > 1 else math.nan
    return float(math.sqrt(corrected * float((sums**2).sum())) / len(values))


def verdict(frame: pd.DataFrame) -> list[str]:
    """In words: whether a model beats ridge regression beyond what chance over the pairs explains.

    Args:
        frame: as of `operations_frame`.
    """
    rows = frame.drop(index=RIDGE)
    sure = rows[LEAD] > NORMAL_95 * rows[ERROR]
    behind = rows[LEAD] < -NORMAL_95 * rows[ERROR]
    told = {str(name): _against(row, frame[MEAN][RIDGE]) for name, row in rows.iterrows()}
    lines = []
    if sure.any():
        lines.append(f"Better than ridge regression: {_listed(told, rows.index[sure])}.")
    else:
        best = str(rows[LEAD].idxmax())
        lines.append(
            "No model beats ridge regression beyond chance. The best mean recall has "
            f"{best}: {told[best]}."
        )
    unsure = rows.index[~sure & ~behind]
    if sure.any() and len(unsure):
        lines.append(f"Neither better nor worse beyond chance: {_listed(told, unsure)}.")
    if behind.any():
        lines.append(f"Worse than ridge regression: {_listed(told, rows.index[behind])}.")
    lines.append(
        "Mean recall: of R@1, R@5 and R@10 in both directions and over seeds. After ± stands the half "
        "of the 95 % interval of the difference over the held-out pairs; other splits and other data "
        "may differ by more."
    )
    return lines


def _against(row: pd.Series, ridge: float) -> str:
    lead, half = PER_CENT * row[LEAD], PER_CENT * NORMAL_95 * row[ERROR]
    return f"{PER_CENT * row[MEAN]:.1f} against {PER_CENT * ridge:.1f} ({lead:+.1f} ± {half:.1f})"


def _listed(told: Mapping[str, str], names: Iterable[object]) -> str:
    return "; ".join(f"{name}, {told[str(name)]}" for name in names)


def operations_tables(frame: pd.DataFrame, title: str) -> RenderableType:
    """The frame for a terminal of 80 columns: both directions together, then each."""
    return Group(
        *(_table(shown, words) for words, shown in operation_parts(frame, title, "[bold]{}[/bold]"))
    )


def _table(shown: Mapping[str, Mapping[str, str]], title: str) -> Table:
    made = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    made.add_column("", no_wrap=True)
    for name in next(iter(shown.values())):
        made.add_column(name, justify="right", overflow="fold", vertical="bottom")
    for model, cells in shown.items():
        made.add_row(model, *cells.values())
    return made


def write_operations_report(
    frame: pd.DataFrame,
    lines: Iterable[str],
    folder: Path,
    *,
    title: str,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
) -> None:
    """Write `operations.csv` and `report.md`.

    Args:
        frame: as of `operations_frame`.
        lines: what it shows, in words.
        folder: of the sweep.
        title: of the table.
        name: of the sweep.
        command: that made it.
        settings: of the sweep.
        environment: versions and machine.
    """
    frame.to_csv(folder / "operations.csv", index_label="model", lineterminator="\n")
    parts = [f"# {name}", *lines]
    for words, shown in operation_parts(frame, title, "**{}**"):
        headings = [" ".join(heading.split()) for heading in next(iter(shown.values()))]
        rows = [[model, *cells.values()] for model, cells in shown.items()]
        parts += [f"**{words}**", table(["", *headings], rows)]
    parts += [
        "Recalls in per cent, on pairs that no model has seen; loss and epochs as early stopping chose "
        "them. Numbers: `operations.csv`.",
        f"## How it was made\n\n```\n{command}\n```",
        "### Settings\n\n" + table(["setting", "value"], list(settings_rows(settings))),
        "### Versions and machine\n\n" + table(["what", "which"], list(environment.items())),
    ]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")


Shown = dict[str, dict[str, str]]
"""Model -> heading -> text."""


def operation_parts(frame: pd.DataFrame, title: str, bold: str) -> list[tuple[str, Shown]]:
    """The two tables with their titles; the best recall of each column is bold."""
    models = [str(model) for model in frame.index]
    overall = {model: _recall_cells(frame, model, OVERALL, bold) for model in models}
    for model, cells in overall.items():
        row = {str(name): float(frame[name].to_dict()[model]) for name in frame.columns}
        cells["mean"] = _bold(frame, model, MEAN, bold)
        lead, half = PER_CENT * row[LEAD], PER_CENT * NORMAL_95 * row[ERROR]
        cells["against ridge"] = "" if math.isnan(lead) else f"{lead:+.1f} ± {half:.1f}"
        cells["loss"] = "" if math.isnan(row["loss/val"]) else f"{row['loss/val']:.3f}"
        cells["epochs"] = "" if math.isnan(row["epochs"]) else f"{row['epochs']:.3g}"
        cells["seeds"] = "" if math.isnan(row["seeds"]) else f"{row['seeds']:g}"
    names = [name for name in frame.columns if " R@" in name]
    each = {model: _recall_cells(frame, model, names, bold) for model in models}
    return [(f"{title}, mean of both directions", overall), ("Each direction, per cent", each)]


def _recall_cells(
    frame: pd.DataFrame, model: str, names: Iterable[str], bold: str
) -> dict[str, str]:
    return {_heading(name): _bold(frame, model, name, bold) for name in names}


def _heading(name: str) -> str:
    """ "image to text R@1" in three lines; "R@1" stays."""
    direction, space, recall = name.rpartition(" ")
    return direction.replace(" to ", "\nto ") + "\n" + recall if space else name


def _bold(frame: pd.DataFrame, model: str, name: str, bold: str) -> str:
    value = float(frame[name][model])
    text = f"{PER_CENT * value:.1f}"
    return bold.format(text) if value == float(frame[name].max()) else text
