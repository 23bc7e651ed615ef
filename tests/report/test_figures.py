from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raymm.report.curves import loss_figure
from raymm.report.figures import FIGURE_4, FIGURE_6, sparsity_figure
from raymm.report.tables import cells_frame
from raymm.sweep.cells import CellResult
from tests.report.synthetic import result, sweep


def losses(results: Sequence[CellResult]) -> Figure | None:
    curves = {each.key: each.curve for each in results if each.curve}
    return loss_figure(cells_frame(results), curves)


def titles(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [axes.get_title().partition("\n")[0] for axes in figure.axes if axes.get_visible()]


def points(line: Line2D) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in np.asarray(line.get_xydata())]


def test_a_line_runs_through_the_means_over_seeds() -> None:
    results = [
        result("mca", sparsity, seed, metrics={"alignment/mean": value})
        for sparsity, values in ((0.0, (1.0, 3.0)), (0.5, (4.0, 6.0)))
        for seed, value in enumerate(values)
    ]
    figure = sparsity_figure(cells_frame(results), FIGURE_4)
    assert titles(figure) == ["alignment, unimodal to fusion"]
    assert figure is not None
    line = figure.axes[0].lines[0]
    assert points(line) == [[0, 2], [0.5, 5]]
    assert "lower is better" in figure.axes[0].get_title()


def test_each_data_set_has_the_panels_of_its_task() -> None:
    results = sweep((0,), sparsities=(0.0, 0.4))
    results += sweep((0,), sparsities=(0.0, 0.4), dataset="speech", task="regression")
    found = titles(sparsity_figure(cells_frame(results), FIGURE_6))
    digits = ["probe average precision", "probe accuracy", "probe loss"]
    assert found == [*digits, "probe Pearson r", "probe loss"]


def test_every_model_has_its_own_colour_and_marker() -> None:
    figure = sparsity_figure(cells_frame(sweep((0,))), FIGURE_4)
    assert figure is not None
    handles = figure.legends[0].legend_handles
    assert [handle.get_label() for handle in handles if handle] == ["MCA", "Zorro", "EAO"]
    assert len({handle.get_color() for handle in handles}) == 3  # type: ignore[union-attr]
    assert len({handle.get_marker() for handle in handles}) == 3  # type: ignore[union-attr]


def test_no_numbers_no_figure() -> None:
    cells = cells_frame([result(metrics={"rank/median_mean": float("nan")})])
    assert sparsity_figure(cells, ("rank/median_mean", "alignment/mean")) is None
    assert losses([result()]) is None


def test_loss_curves_are_means_over_seeds() -> None:
    def curve(first: float) -> tuple[dict[str, float], ...]:
        return (
            {"epoch": 1.0, "loss/train": first, "loss/val": first + 1},
            {"epoch": 2.0, "loss/train": first - 1, "loss/val": float("nan")},
        )

    results = [result(seed=0, curve=curve(4.0)), result(seed=1, curve=curve(6.0)[:1])]
    figure = losses(results)
    assert figure is not None and titles(figure) == ["MCA"]
    train, validation = figure.axes[0].lines
    assert (train.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert points(train) == [[1, 5], [2, 3]] and points(validation) == [[1, 6]]


def test_one_panel_per_model_and_none_for_cells_that_failed() -> None:
    results = sweep((0,), sparsities=(0.0, 0.4))
    lost = [replace(r, status="failed") if r.cell.model.name == "eao" else r for r in results]
    assert titles(losses(results)) == ["MCA", "Zorro", "EAO"]
    assert titles(losses(lost)) == ["MCA", "Zorro"]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_drawing_leaves_matplotlibs_settings_alone(seeds: tuple[int, ...]) -> None:
    before = dict(rcParams)
    sparsity_figure(cells_frame(sweep(seeds, sparsities=(0.0,))), FIGURE_4)
    assert dict(rcParams) == before
