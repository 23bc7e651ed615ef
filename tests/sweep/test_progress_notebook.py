"""Progress in a real notebook's kernel: a board where there are widgets, else a line for each cell."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="needs pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="needs pip install nbclient ipykernel")

ROOT = Path(__file__).parent.parent.parent
CODE = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import time
from rich.console import Console
from raymm.sweep.cells import Cell
from raymm.sweep.progress import ProgressView, Standing
from tests.report.synthetic import sweep

results = sweep((0, 1), sparsities=(0.0,), models=("mca",))
cells = [Cell(result.key, result.cell) for result in results]
standing = Standing(cells, {{cell.key: 1.0 for cell in cells}}, started_at=time.monotonic())
with ProgressView(standing, Console()) as view:
    for cell, result in zip(cells, results, strict=True):
        standing.start(cell.key)
        standing.epochs(cell.key, 1, 3)
        time.sleep(1.2)
        standing.end(result)
        view.ended(result)
"""


def test_a_notebook_shows_how_far_a_sweep_is(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=60, resources=resources)
    client.execute()
    shown = json.dumps([output.get("data", {}) for output in notebook.cells[0].outputs])
    if find_spec("ipywidgets") is None:
        assert "[1/2] mca S=0 seed=0 finished" in shown and "[2/2]" in shown
        assert "\\u001b" not in shown  # no control codes
    else:
        boards = json.dumps([state.get("outputs") for state in client.widget_state.values()])
        assert "of 2 done" in boards and "epoch 3/5" in boards
