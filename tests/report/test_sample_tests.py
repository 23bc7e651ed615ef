from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.report.comparisons import comparisons_frame
from raymm.report.sample_tests import BOOTSTRAP_COLUMNS, bootstrap_frame
from raymm.report.statistics import holm
from raymm.report.tables import cells_frame
from raymm.sweep.cells import CellResult
from tests.report.synthetic import kept, sweep

METRICS = ["probe/auprc", "rank/median_mean", "uniformity/fusion"]


def frames(results: list[CellResult]) -> tuple[pd.DataFrame, pd.DataFrame]:
    cells = cells_frame(results)
    return comparisons_frame(cells, METRICS), bootstrap_frame(cells, kept(results), METRICS)


def test_pairs_and_differences_are_those_of_the_comparisons() -> None:
    compared, found = frames(sweep(range(4)))
    assert list(found.columns) == list(BOOTSTRAP_COLUMNS)
    compared = compared[compared["metric"] != "uniformity/fusion"]  # not told by single samples
    place = ["dataset", "metric", "over", "sparsity", "model_a", "model_b"]
    both = compared.merge(found, on=place, suffixes=("", "_b"))
    assert len(both) == len(compared) == len(found) == 2 * (3 + 15)
    assert both["difference"].to_numpy() == pytest.approx(both["difference_b"].to_numpy())
    assert (found["resampled"] == "samples; seeds by Student's t").all()
    assert (found["low"] < found["difference"]).all() and (found["high"] > found["low"]).all()
    for _, family in found.groupby(["metric", "over"]):
        assert family["p_holm"].to_list() == pytest.approx(holm(family["p"].to_list()))


def test_the_same_results_say_the_same() -> None:
    results = sweep(range(3), sparsities=(0.0, 0.4))
    assert frames(results)[1].equals(frames(results)[1])


def test_two_seeds_leave_the_difference_and_no_test() -> None:
    _, found = frames(sweep((0, 1)))
    assert len(found) and found[["low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert (found["resampled"] == "").all() and (found["seeds"] == 2).all()


def test_cells_without_samples_are_left_out() -> None:
    results = sweep(range(4), sparsities=(0.0, 0.4))
    samples = kept(results)
    del samples["digits-mca-0.4-3"]
    found = bootstrap_frame(cells_frame(results), samples, METRICS[:1])
    with_mca = found[found["model_a"] == "mca"]
    assert set(with_mca.loc[with_mca["sparsity"] == 0.4, "seeds"]) == {3}
    assert set(with_mca.loc[with_mca["over"] == "curve", "seeds"]) == {3}
    assert set(with_mca.loc[with_mca["sparsity"] == 0.0, "seeds"]) == {4}
    assert bootstrap_frame(cells_frame(results), {}, METRICS).empty


def test_noise_between_samples_widens_what_seeds_alone_make_narrow() -> None:
    """Seeds that agree on thirty samples say little of other samples."""
    results = sweep(range(5), sparsities=(0.0,), models=("mca", "eao"))
    samples = kept(results, count=30)
    for frame in samples.values():
        frame["probe/loss"] = np.random.default_rng(len(frame)).normal(size=30)
    for number, result in enumerate(results):
        of_model = 1.0 if result.cell.model.name == "mca" else 0.0
        frame = samples[result.key]
        frame["probe/loss"] = frame["probe/loss"] * (1 + of_model) + number * 1e-3
    cells = cells_frame(results)
    cells["probe/loss"] = [samples[key]["probe/loss"].mean() for key in cells["cell_key"]]
    (compared,) = comparisons_frame(cells, ["probe/loss"]).to_dict("records")
    (found,) = bootstrap_frame(cells, samples, ["probe/loss"]).to_dict("records")
    assert found["high"] - found["low"] > 5 * (compared["ci_high"] - compared["ci_low"])
