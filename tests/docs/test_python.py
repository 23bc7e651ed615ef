"""docs/python.md, from the sweep to MLflow's model, as one script in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from rich.console import Console

import raymm
from raymm.api import call, grid_settings, shown_on
from raymm.errors import ConfigError, RaymmError, SweepError
from raymm.sweep.grid import GridSettings
from tests.docs.pages import ROOT, python

PAGE = "python.md"


def test_the_first_is_a_sweep_in_ten_lines() -> None:
    lines = [line for line in python(PAGE)[0].splitlines() if line]
    assert len(lines) <= 10


@pytest.mark.ray
def test_all_of_it_runs(tmp_path: Path) -> None:
    script = "\n".join(python(PAGE)).replace(
        'name="ten-lines"', 'name="ten-lines", width=8, depth=1'
    )
    (tmp_path / "page.py").write_text(script)
    said = subprocess.run(
        [sys.executable, "page.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "\x1b" not in said.stdout  # no control codes where nobody can see them
    assert "8 of 8" in said.stdout or "[8/8]" in said.stdout
    assert (
        "raymm.sparsity_grid(dataset='digits'"
        in (tmp_path / "results/ten-lines/report.md").read_text()
    )


def test_keywords_are_the_command_lines() -> None:
    given = grid_settings(
        {"dataset": Path("my/tables"), "models": ["mca"], "sparsities": [0, 0.5], "width": 8,
         "precision": "bf16", "temperature": 1}
    )  # fmt: skip
    assert given == GridSettings(
        dataset="my/tables", models=("mca",), sparsities=(0.0, 0.5), width=8, precision="bf16",
        temperature=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modles": ["mca"]}, "did you mean 'models'"),
        ({"models": "mca"}, "should be a list"),
        ({"models": ["mcaa"]}, "did you mean 'mca'"),
        ({"width": "8"}, "should be of type int"),
        ({"precision": "fp16"}, "did you mean 'bf16'|did you mean 'fp32'"),
        ({"plan": True}, "sparsity_grid.py --plan"),
    ],
)
def test_what_is_wrong_is_an_error_and_no_exit(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        raymm.sparsity_grid(**settings)


def test_errors_of_all_kinds_have_one_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RaymmError, match="neither a built-in data set nor a folder"):
        raymm.sparsity_grid(dataset="nowhere")
    with pytest.raises(RaymmError, match="There is no sweep 'nowhere'"):
        raymm.results("nowhere")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        raymm.lode  # noqa: B018


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_ray_that_the_notebook_has_begun_is_said() -> None:
    with pytest.raises(SweepError, match="connected to Ray already"):
        raymm.sparsity_grid()


@pytest.mark.parametrize("widgets", [None, ModuleSpec("ipywidgets", None)])
def test_a_notebook_without_widgets_gets_plain_lines(
    widgets: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("raymm.sweep.progress.find_spec", lambda name: widgets)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a kernel has it
    notebook = Console(force_jupyter=True, force_terminal=False)
    shown = shown_on(notebook)
    if widgets is not None:
        assert shown is notebook
        return
    with shown.status("working") as status:  # would warn of missing widgets, which is an error here
        status.update("still working")
        shown.print("[1/2] done", markup=False)
    assert capsys.readouterr().out.strip() == "[1/2] done"


def test_the_report_has_the_call_without_passwords() -> None:
    said = call({"tracking_uri": "https://me:secret@mlflow.org", "seeds": [0]})
    assert said == "raymm.sparsity_grid(tracking_uri='https://mlflow.org', seeds=[0])"
