from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from scipy import stats

from raymm.config import ModelName
from raymm.report.comparisons import comparisons_frame, curve_heights
from raymm.report.statistics import holm
from raymm.report.tables import cells_frame
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, result, sweep

METRIC = "probe/auprc"


def cells(values: dict[tuple[ModelName, float], list[float]]) -> list[CellResult]:
    return [
        result(model, sparsity, seed, metrics={METRIC: value})
        for (model, sparsity), of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]


def rows(frame: pd.DataFrame, over: str) -> list[dict[str, object]]:
    return [
        {str(k): v for k, v in row.items()}
        for row in frame[frame["over"] == over].to_dict("records")
    ]


def test_differences_are_paired_by_seed() -> None:
    # Seeds differ by far more than models do: only a paired test sees the difference.
    mca, zorro = [0.5, 0.7, 0.9], [0.48, 0.69, 0.885]
    found = comparisons_frame(
        cells_frame(cells({("mca", 0.0): mca, ("zorro", 0.0): zorro})), [METRIC]
    )
    (row,) = rows(found, "sparsity")
    assert (row["model_a"], row["model_b"], row["n"]) == ("mca", "zorro", 3)
    assert row["difference"] == pytest.approx(0.015)
    assert row["p"] == row["p_holm"] == pytest.approx(stats.ttest_rel(mca, zorro).pvalue)


def test_holm_is_over_the_pairs_and_sparsities_of_a_metric() -> None:
    found = comparisons_frame(cells_frame(sweep(range(4))), [METRIC, "rank/median_mean"])
    for metric in (METRIC, "rank/median_mean"):
        for over, count in (("curve", 3), ("sparsity", 15)):
            family = found[(found["metric"] == metric) & (found["over"] == over)]
            assert len(family) == count
            assert family["p_holm"].to_list() == holm(family["p"].to_list())


def test_with_two_seeds_there_is_a_difference_but_no_test() -> None:
    found = comparisons_frame(cells_frame(sweep((0, 1))), [METRIC])
    assert found["difference"].notna().all() and (found["n"] == 2).all()
    assert found[["p", "p_holm", "ci_low", "ci_high"]].isna().all(axis=None)


def test_only_seeds_that_both_models_have_are_compared() -> None:
    results = cells({("mca", 0.0): [1.0, 2.0, 3.0, 9.0], ("eao", 0.0): [0.0, 0.5, 1.5]})
    results = [*results, failed("eao", 0.0, 3, "no memory")]
    (row,) = rows(comparisons_frame(cells_frame(results), [METRIC]), "sparsity")
    assert row["n"] == 3 and row["difference"] == pytest.approx((1 + 1.5 + 1.5) / 3)


def test_different_masks_are_not_paired() -> None:
    mca, other = cells({("mca", 0.0): [0.5], ("eao", 0.0): [0.6]})
    moved = replace(other.cell, data=replace(other.cell.data, mask_seed=7))
    found = comparisons_frame(cells_frame([mca, replace(other, cell=moved)]), [METRIC])
    assert found.empty


def test_curve_heights_by_hand_and_of_whole_curves_only() -> None:
    results = cells(
        {("mca", 0.0): [1.0, 0.8], ("mca", 0.2): [0.6, 0.6], ("mca", 0.8): [0.2, math.nan]}
    )
    heights = curve_heights(cells_frame(results), METRIC)
    assert heights["seed"].to_list() == [0]
    assert heights[METRIC].to_list() == pytest.approx([(0.2 * 0.8 + 0.6 * 0.4) / 0.8])


def test_one_sparsity_is_no_curve() -> None:
    results = cells({("mca", 0.2): [1.0, 0.8], ("eao", 0.2): [0.6, 0.6]})
    assert curve_heights(cells_frame(results), METRIC).empty
    assert rows(comparisons_frame(cells_frame(results), [METRIC]), "curve") == []


def test_a_sparsity_at_which_everything_failed_is_no_part_of_the_curve() -> None:
    whole = sweep(range(3), sparsities=(0.0, 0.4), models=("mca", "eao"))
    lost = [failed(model, 0.8, seed, "no memory") for model in ("mca", "eao") for seed in range(3)]
    metrics = [METRIC]
    found = comparisons_frame(cells_frame([*whole, *lost]), metrics)
    pd.testing.assert_frame_equal(found, comparisons_frame(cells_frame(whole), metrics))
    assert len(rows(found, "curve")) == 1
