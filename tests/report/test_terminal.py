from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.console import Console

from raymm.report.evidence import weigh
from raymm.report.record import record_of
from raymm.report.terminal import summary_table
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, result, sweep


def shown(results: Sequence[CellResult], metrics: Sequence[str] | None = None) -> list[str]:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        record = record_of(results, name="x", command="", settings={}, environment={})
        console.print(summary_table(weigh(record), metrics))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_three_models_and_five_sparsities_fit_80_columns() -> None:
    lines = shown(sweep())
    assert "probe average precision (higher is better), digits" in lines
    assert "median rank (lower is better), digits" in lines
    assert not any("…" in line for line in lines)
    header = next(line for line in lines if "model" in line)
    sparsities = [part for part in header.split() if part not in ("S", "=")]
    assert sparsities == ["model", "0", "0.2", "0.4", "0.6", "0.8"]
    assert sum("±" in line for line in lines) == 7  # two blocks of three, and the footnote


def test_a_block_of_one_sparsity_keeps_its_title_on_one_line() -> None:
    lines = shown([result(metrics={"probe/auprc": 0.5})])
    assert lines[0] == "probe average precision (higher is better), digits"


def test_mean_and_spread() -> None:
    results = [
        result(seed=seed, metrics={"probe/auprc": value}) for seed, value in enumerate((0.8, 0.9))
    ]
    assert any("MCA" in line and "0.850 ±0.071" in line for line in shown(results))


def test_regression_shows_pearson() -> None:
    lines = shown(sweep(task="regression"))
    assert "probe Pearson r (higher is better), digits" in lines
    assert not any("average precision" in line for line in lines)


def test_metrics_can_be_chosen() -> None:
    lines = shown(sweep(), ["loss/val"])
    assert "validation loss (lower is better), digits" in lines
    assert not any("median rank" in line for line in lines)


def test_a_failed_condition_is_a_dash() -> None:
    results = [result("mca", metrics={"probe/auprc": 0.5}), failed("zorro", 0.0, 0, "no memory")]
    (line,) = (line for line in shown(results) if "Zorro" in line)
    assert line.split() == ["Zorro", "-"]


@pytest.mark.parametrize("results", [[], [failed("mca", 0.0, 0, "no memory")]])
def test_nothing_finished(results: list[CellResult]) -> None:
    assert shown(results) == ["No cell finished."]
