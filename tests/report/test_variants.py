from __future__ import annotations

from dataclasses import replace

import pytest

from raymm.config import FusionOperation
from raymm.errors import SweepError
from raymm.report.evidence import weigh
from raymm.report.figures import FIGURE_6, sparsity_figure
from raymm.report.page.page import page_text
from raymm.report.record import record_of
from raymm.report.tables import cells_frame
from raymm.report.variants import line_names
from raymm.sweep.cells import CellResult
from tests.report.synthetic import result, sweep


def of_operation(operation: FusionOperation, seed: int, width: int = 32) -> CellResult:
    made = result("cbmf", 0.0, seed, metrics={"probe/auprc": 0.5 + 0.01 * seed + width / 1000})
    model = replace(made.cell.model, fusion_operation=operation, width=width)
    key = f"{operation}-{width}-{seed}"
    return replace(made, cell=replace(made.cell, model=model), key=key)


def test_models_alone_are_their_own_names() -> None:
    assert set(line_names(sweep((0, 1))).values()) == {"mca", "zorro", "eao"}


def test_what_differs_is_said_where_cells_would_collide() -> None:
    operations: tuple[FusionOperation, ...] = ("add", "dot_attention")
    cells = [of_operation(operation, seed) for operation in operations for seed in (0, 1, 2)]
    others = sweep((0,), models=("mca",), sparsities=(0.0,))
    names = line_names([*cells, *others])
    assert set(names.values()) == {"cbmf, add", "cbmf, dot attention", "mca"}
    frame = cells_frame([*cells, *others])
    assert frame["model"].value_counts()["cbmf, add"] == 3
    widths = [of_operation("add", 0, width) for width in (32, 64)]
    assert set(line_names(widths).values()) == {"cbmf, width 32", "cbmf, width 64"}


def test_lines_have_a_report() -> None:
    operations: tuple[FusionOperation, ...] = (
        "add", "multiply", "concatenate", "dot_attention", "additive_attention",
    )  # fmt: skip
    cells = [of_operation(operation, seed) for operation in operations for seed in (0, 1, 2)]
    record = record_of(cells, name="operations", command="", settings={}, environment={})
    page = page_text(weigh(record))
    assert "CBMF, additive attention" in page
    figure = sparsity_figure(record.cells, FIGURE_6)
    assert figure is not None
    handles = figure.legends[0].legend_handles
    assert len({(h.get_color(), h.get_marker()) for h in handles}) == 5  # type: ignore[union-attr]


def test_the_same_settings_twice_are_still_an_error() -> None:
    twice = [of_operation("add", 0), replace(of_operation("add", 0), key="other")]
    with pytest.raises(SweepError, match="both stand for"):
        cells_frame(twice)
