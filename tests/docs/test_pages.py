"""The pages of docs/ beside the program: commands, numbers, messages."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tyro

from raymm.cli_doctor import doctor
from raymm.cli_embed import embed
from raymm.cli_evaluate import evaluate
from raymm.cli_ledger import replay_cell, status
from raymm.cli_report import report
from raymm.report.names import model_label
from raymm.sweep.cross_settings import CrossSettings
from raymm.sweep.grid import GridSettings
from raymm.sweep.operations import OperationSettings
from raymm.sweep.search.settings import SearchSettings
from tests.docs.pages import ROOT, commands, page, run

PAGES = ("models.md", "metrics.md", "reproduce.md", "errors.md")
SCRIPTS: dict[str, Any] = {
    "sweeps/sparsity_grid.py": GridSettings,
    "sweeps/temperature_lr.py": SearchSettings,
    "sweeps/fusion_operations.py": OperationSettings,
    "sweeps/cross_sparsity.py": CrossSettings,
}
RAYMM: dict[str, Callable[..., int]] = {
    "doctor": doctor, "embed": embed, "evaluate": evaluate, "replay": replay_cell, "report": report,
    "status": status,
}  # fmt: skip
KEPT = {
    name: ROOT / "results" / name / "summary.csv"
    for name in ("digits-comparison", "digits-reference", "physionet2012")
}


def only_parsed(command: Callable[..., int]) -> Callable[..., int]:
    """A command with the same command line that does nothing."""

    @functools.wraps(command)
    def parsed(*args: object, **kwargs: object) -> int:
        return 0

    return parsed


def table(name: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is given."""
    lines = page(name).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


@pytest.mark.parametrize("command", [each for name in PAGES for each in commands(name)])
def test_a_command_is_one_that_the_program_takes(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "python":
        tyro.cli(SCRIPTS[words[1]], args=words[2:])
    elif words[1] == "data":
        assert any(line.startswith(command) for line in page("data.md").split("\n    "))
    else:
        tyro.cli(only_parsed(RAYMM[words[1]]), args=words[2:])


@pytest.mark.parametrize("option", sorted({
    word for name in (*PAGES, "python.md") for word in re.findall(r"`(--[a-z-]+)", page(name))
}))  # fmt: skip
def test_an_option_that_a_page_names_exists(option: str) -> None:
    fields = {name for kind in SCRIPTS.values() for name in kind.__dataclass_fields__}
    fields |= {name for each in RAYMM.values() for name in inspect.signature(each).parameters}
    assert option[2:].replace("-", "_") in fields


def test_a_plan_on_the_built_in_data_is_shown(tmp_path: Path) -> None:
    (plan,) = [each for each in commands("errors.md") if each.endswith("--plan")]
    status, said = run(plan, tmp_path)
    assert status == 0, said


@pytest.mark.parametrize(
    ("heading", "kept", "metrics", "named"),
    [
        ("model | metric", "digits-comparison", {"probe/auprc": 3, "rank/median_mean": 1}, True),
        ("model | seconds, S = 0", "digits-reference", {"time/train_s": 1}, False),
    ],
)
def test_the_figures_of_the_models_are_those_of_the_results(
    heading: str, kept: str, metrics: dict[str, int], named: bool
) -> None:
    summary = pd.read_csv(KEPT[kept])
    rows = []
    for model in summary["model"].unique():
        for metric, decimals in metrics.items():
            of = summary[(summary["model"] == model) & (summary["metric"] == metric)]
            means = [f"{value:.{decimals}f}" for value in of.sort_values("sparsity")["mean"]]
            rows.append([model_label(model), *([metric] if named else []), *means])
    assert rows == _rounded_alike(table("models.md", heading), rows), _shown(rows)


def test_the_figures_of_natural_holes_are_those_of_the_results() -> None:
    metrics = {"probe/auprc": 3, "probe/loss": 3, "rank/median_mean": 1}
    summary = pd.read_csv(KEPT["physionet2012"]).set_index(["model", "metric"])["mean"]
    rows = [
        [model_label(model), *(f"{summary[model, m]:.{places}f}" for m, places in metrics.items())]
        for model in summary.index.get_level_values("model").unique()
    ]
    assert rows == _rounded_alike(table("models.md", "model on PhysioNet 2012"), rows), _shown(rows)


def _shown(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rounded_alike(page_rows: Sequence[list[str]], rows: list[list[str]]) -> list[list[str]]:
    """The page's rows, with a half that was rounded the other way as the results have it."""
    return [
        [
            b if a[0].isdigit() and abs(float(a) - float(b)) < 1.1 * _last_digit(a) else a
            for a, b in zip(ours, theirs, strict=True)
        ]
        for ours, theirs in zip(page_rows, rows, strict=True)
    ]


def _last_digit(number: str) -> float:
    return 10.0 ** -len(number.partition(".")[2])


def test_every_metric_of_a_cell_is_defined() -> None:
    text = page("metrics.md")
    modalities = ("fou", "kar", "zer", "mor")
    for metric in pd.read_csv(KEPT["digits-comparison"])["metric"].unique():
        general = re.sub(rf"({'|'.join(modalities)})$", "<modality>", metric)
        general = re.sub(r"at_(5|10)_", "at_1_", general)
        assert f"`{general}`" in text, metric


def test_messages_of_the_page_are_those_of_the_program() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "raymm").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)
    for message, *_ in table("errors.md", "it says"):
        parts = re.split(r"'[^']*'|[-\d.]*\d[\d.]*|\.\.\.|http://|: .*|`", message)
        longest = max((part.strip() for part in parts), key=len)
        assert len(longest) > 8, message
        assert longest in joined, longest
