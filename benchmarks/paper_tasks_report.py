"""What the steps of `benchmarks.paper_tasks` have found: kept as JSON, and shown as a report."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from raymm.report.markdown_table import table as markdown_table
from raymm.sweep.environment import environment
from raymm.tasks.classification import TEST_ROW
from raymm.tasks.paper import MARK
from raymm.tasks.result import TaskResult, TaskTable

REPEATED = (
    "Tiny ImageNet has one caption for all images of a class, so a batch holds samples with the same "
    "caption, which plain InfoNCE would push apart. CBMF's soft targets (eq. 5) see that their texts "
    "are alike: the target of such a pair is exp(-(1 - s) / (2 tau)) of the sample's own, with s the "
    "cosine of the two images."
)
"""What has to be known of captions that repeat."""
SEEN = (
    "The part of the train split that is validated on belongs to what CBMF was aligned with, names "
    "included: its validation accuracy is of images it has seen, and says nothing beside the encoder's. "
    "The test images are new to both."
)
"""What has to be known of fine-tuning on the set that the model was trained on."""
MAIN = {
    "zero-shot": "top_1",
    "linear": TEST_ROW,
    "fine-tune": TEST_ROW,
    "similarity": "spearman",
    "paraphrase": "accuracy",
    "retrieval": "image to text, R@1",
}
"""The figure of each task that stands for it."""
CURVE = "curve-"
"""Begins the names of the tables of tolerance curves."""
DPI = 90
LONGEST_SHOWN = 30
"""Rows of a table that the report shows; longer ones are in their file."""


@dataclass(frozen=True)
class Step:
    """A step that is done: what it found, and the seconds it took."""

    name: str
    result: TaskResult
    seconds: float


def to_json(result: TaskResult, seconds: float) -> str:
    """A step as text."""
    tables = [[table.name, table.title, table.frame.to_csv()] for table in result.tables]
    plain = {"task": result.task, "dataset": result.dataset, "metrics": dict(result.metrics)}
    return json.dumps({**plain, "notes": result.notes, "tables": tables, "seconds": seconds})


def from_json(name: str, text: str) -> Step:
    """The step again."""
    said = json.loads(text)
    tables = tuple(
        TaskTable(stem, title, pd.read_csv(StringIO(csv), index_col=0))
        for stem, title, csv in said["tables"]
    )
    result = TaskResult(
        said["task"], said["dataset"], said["metrics"], tables, tuple(said["notes"])
    )
    return Step(name, result, said["seconds"])


def write(folder: Path, steps: Sequence[Step], command: str) -> None:
    """The report: every table, the paper's columns beside ours, and how it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        "# CBMF on the paper's tasks, with small encoders and small data",
        'Columns that begin with "paper:" are the paper\'s own figures, with other encoders and other '
        "training data: a reference, not a reproduction.",
    ]
    if any(each.name.startswith("images") for each in steps):
        parts.append(REPEATED)
    parts += ["## What it shows", "\n".join(summary(steps))]
    for each in steps:
        parts.append(f"## {each.name}")
        for table in each.result.tables:
            stem = f"{each.name.replace(' ', '-')}-{table.name}"
            table.frame.to_csv(folder / f"{stem}.csv", lineterminator="\n")
            if len(table.frame) <= LONGEST_SHOWN:
                parts += [f"**{table.title}**", frame_text(table.frame)]
            else:
                parts.append(f"{table.title}: `{stem}.csv`.")
        curves = [table for table in each.result.tables if table.name.startswith(CURVE)]
        if curves:
            name = f"{each.name.replace(' ', '-')}-tolerance.png"
            tolerance_figure(curves).savefig(folder / name, dpi=DPI, metadata={"Software": None})
            parts.append(f"![Accuracy at each tolerance, by class of scores]({name})")
        first = each.result.tables[0].frame
        if each.result.task == "fine-tune":
            parts.append(SEEN)
            first = first.loc[[TEST_ROW]]
        parts.append(verdict(first))
        parts += [*each.result.notes, f"{each.seconds:.0f} s, training and embedding included "
                  "where nothing before had done it."]  # fmt: skip
    metrics = {each.name: dict(each.result.metrics) for each in steps}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    parts.append(f"## How it was made\n\n```\n{command}\n```")
    parts.append(markdown_table(["what", "which"], list(machine().items())))
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")


def summary(steps: Sequence[Step]) -> list[str]:
    """A line for each task: its main figure by every operation and by the encoders alone."""
    lines: dict[str, dict[str, str]] = {}
    for each in steps:
        table, row = each.result.tables[0], MAIN[each.result.task]
        found = lines.setdefault(f"{table.title.partition(' (')[0]}, {row}", {})
        for name, value in table.frame.loc[row].items():
            if not str(name).startswith(MARK):
                found[str(name)] = f"{value:.2f}"
    return [
        f"- {what}: {', '.join(f'{name} {value}' for name, value in found.items())}."
        for what, found in lines.items()
    ]


def tolerance_figure(curves: Sequence[TaskTable]) -> Figure:
    """Accuracy against the tolerance, a panel for each class of scores, as the paper's figure 3.

    Args:
        curves: a table for each class: a row for each tolerance, a column for each model.
    """
    figure = Figure(figsize=(2.4 * len(curves), 2.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, curve in zip(panels, curves, strict=True):
        for model in curve.frame.columns:
            panel.plot(curve.frame.index, curve.frame[model], label=str(model), linewidth=1.2)
        panel.set_title(f"scores {curve.name.removeprefix(CURVE)}", fontsize=9)
        panel.set_xlabel("tolerance", fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel("accuracy, per cent", fontsize=8)
    panels[-1].legend(fontsize=7, loc="lower right")
    return figure


def verdict(frame: pd.DataFrame) -> str:
    """Where CBMF is worse than what its encoders do without it, in words."""
    ours = [name for name in frame.columns if str(name).startswith("CBMF")]
    others = [name for name in frame.columns if name not in ours and not name.startswith(MARK)]
    if not others:
        return "The encoders alone cannot do this task: nothing to hold CBMF against."
    rival = frame[others].max(axis=1)
    lines = []
    for name in ours:
        behind = frame.index[frame[name] < rival]
        listed = ", ".join(
            f"{row} ({frame[name][row]:.2f} against {rival[row]:.2f})" for row in behind
        )
        best = " and ".join(map(str, others))
        better = f"the better of {best}" if len(others) > 1 else best
        lines.append(
            f"{name} is worse than {better} in {listed}."
            if listed
            else f"{name} is nowhere worse than {best}."
        )
    return " ".join(lines)


def frame_text(frame: pd.DataFrame) -> str:
    """A table as Markdown."""
    rows = [
        [str(name), *("" if value != value else f"{value:.2f}" for value in values)]
        for name, values in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return markdown_table(["", *map(str, frame.columns)], rows)


def machine() -> dict[str, str]:
    """Versions, and the processor by name."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {**environment(), "processor": named[0] if named else platform.processor()}
