from __future__ import annotations

import math
import random

import numpy as np
import pytest

from raymm.errors import SweepError
from raymm.report.tables import CELL_COLUMNS, SUMMARY_COLUMNS, cells_frame, summary_frame
from tests.report.synthetic import failed, result, sweep


def test_a_row_per_cell_whatever_order_they_come_in() -> None:
    results = sweep()
    shuffled = random.Random(0).sample(results, len(results))
    cells = cells_frame(shuffled)
    assert len(cells) == 30
    assert cells.equals(cells_frame(results))
    assert cells["model"].unique().tolist() == ["mca", "zorro", "eao"]
    assert cells["sparsity"][:4].tolist() == [0, 0, 0.2, 0.2]
    assert cells["seed"][:4].tolist() == [0, 1, 0, 1]


def test_metrics_stand_in_the_stable_order() -> None:
    names = [
        "memory/peak_gib", "probe/loss", "probe/auprc", "loss/val", "loss/train", "something/else",
        "rank/median_fou", "rank/median_mean", "uniformity/fac", "uniformity/fou",
        "uniformity/unimodal_mean", "uniformity/fusion", "recall/at_10_mean", "recall/at_5_mean",
        "recall/at_1_fou", "alignment/mean", "sparsity/realised", "time/train_s",
    ]  # fmt: skip
    cells = cells_frame([result(metrics=dict.fromkeys(names, 1.0))])
    assert list(cells.columns) == [
        *CELL_COLUMNS,
        "uniformity/fusion", "uniformity/unimodal_mean", "uniformity/fac", "uniformity/fou",
        "alignment/mean", "rank/median_mean", "rank/median_fou", "recall/at_5_mean",
        "recall/at_10_mean", "recall/at_1_fou", "probe/auprc", "probe/loss", "loss/train",
        "loss/val", "sparsity/realised", "time/train_s", "memory/peak_gib", "something/else",
    ]  # fmt: skip


def test_a_failed_cell_has_its_reason_and_no_metrics() -> None:
    cells = cells_frame([result(metrics={"probe/auprc": 0.5}), failed("eao", 0.2, 1, "no memory")])
    lost = cells.iloc[1]
    assert (lost["status"], lost["reason"], lost["seed"]) == ("failed", "no memory", 1)
    assert math.isnan(lost["probe/auprc"])


def test_two_results_of_one_condition_and_seed_are_an_error() -> None:
    with pytest.raises(SweepError, match=r"both stand for digits, mca, sparsity 0\.2, seed 1"):
        cells_frame([result(sparsity=0.2, seed=1), result(sparsity=0.2, seed=1)])


def test_no_results_make_empty_tables() -> None:
    cells = cells_frame([])
    assert list(cells.columns) == list(CELL_COLUMNS) and len(cells) == 0
    assert list(summary_frame(cells).columns) == list(SUMMARY_COLUMNS)


def test_summary_by_hand() -> None:
    results = [
        result(seed=seed, metrics={"probe/auprc": value}) for seed, value in enumerate((0.8, 0.9))
    ]
    (row,) = summary_frame(cells_frame(results)).to_dict("records")
    half = 12.706204736 * math.sqrt(0.005) / math.sqrt(2)  # Student's t for one degree of freedom
    assert row == {
        "dataset": "digits",
        "model": "mca",
        "sparsity": 0.0,
        "metric": "probe/auprc",
        "mean": pytest.approx(0.85),
        "std": pytest.approx(math.sqrt(0.005)),
        "n": 2,
        "ci_low": pytest.approx(0.85 - half),
        "ci_high": pytest.approx(0.85 + half),
        "bootstrap_low": pytest.approx(math.nan, nan_ok=True),  # of two seeds there is none
        "bootstrap_high": pytest.approx(math.nan, nan_ok=True),
    }


def test_summary_of_one_seed_has_no_spread() -> None:
    (row,) = summary_frame(cells_frame([result(metrics={"loss/val": 2.0})])).to_dict("records")
    assert (row["mean"], row["n"]) == (2, 1)
    assert all(math.isnan(row[name]) for name in ("std", "ci_low", "ci_high"))


def test_summary_leaves_out_failed_cells_and_missing_metrics() -> None:
    results = [
        result(seed=0, metrics={"a": 1.0, "b": math.nan, "c": math.nan}),
        result(seed=1, metrics={"a": 3.0, "b": 5.0, "c": math.nan}),
        failed("mca", 0.0, 2, "no memory"),
        failed("eao", 0.0, 0, "no memory"),
    ]
    rows = summary_frame(cells_frame(results)).to_dict("records")
    found = [(row["model"], row["metric"], row["mean"], row["n"]) for row in rows]
    assert found == [("mca", "a", 2, 2), ("mca", "b", 5, 1)]


def test_ten_seeds_have_a_bootstrap_interval() -> None:
    values = np.random.default_rng(0).normal(size=10)
    results = [result(seed=seed, metrics={"a": float(v)}) for seed, v in enumerate(values)]
    (row,) = summary_frame(cells_frame(results)).to_dict("records")
    low, high = row["bootstrap_low"], row["bootstrap_high"]
    assert low < row["mean"] < high
    assert (low, high) == pytest.approx((row["ci_low"], row["ci_high"]), abs=0.15)
