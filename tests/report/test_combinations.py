from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.report.combinations import (
    FEWEST_SAMPLES,
    combination_names,
    combinations_frame,
    shared_combinations,
)
from raymm.report.tables import cells_frame
from tests.report.synthetic import kept, result, sweep


def test_means_are_of_the_samples_that_have_just_these_modalities() -> None:
    results = [result("mca", 0.4, seed, metrics={"probe/auprc": 0.5}) for seed in (0, 1)]
    samples = kept(results, count=80)
    frame = combinations_frame(cells_frame(results), samples)
    for combination in ("fou+kar", "fou", "kar"):
        by_seed = []
        for each in samples.values():
            mine = each[combination_names(each) == combination]
            said = np.stack(mine["probe/said"].to_list())
            by_seed.append(float((said.argmax(axis=1) == mine["label"]).mean()))
        of_metric = frame[frame["metric"] == "probe/accuracy"].set_index("combination")
        assert of_metric.loc[combination, "mean"] == pytest.approx(np.mean(by_seed))
        assert of_metric.loc[combination, "std"] == pytest.approx(np.std(by_seed, ddof=1))
    assert set(frame["seeds"]) == {2}
    whole = frame[frame["metric"] == "probe/accuracy"]["test_samples"].sum()
    assert whole == 80  # every sample is of one combination


def test_names_are_in_the_modalities_order() -> None:
    samples = pd.DataFrame({"has/b": [True, False, True], "has/a": [True, True, False]})
    samples.attrs = {"modalities": ["b", "a"]}
    assert combination_names(samples).to_list() == ["b+a", "a", "b"]


def test_rare_combinations_are_left_out_and_most_modalities_come_first() -> None:
    results = sweep((0,), sparsities=(0.2,), models=("mca",))
    samples = kept(results, count=40)
    (key,) = samples
    samples[key]["has/fou"] = True
    samples[key]["has/kar"] = np.arange(40) >= FEWEST_SAMPLES - 1
    frame = combinations_frame(cells_frame(results), samples)
    assert set(frame["combination"]) == {"fou+kar"}
    frame = combinations_frame(cells_frame(sweep((0, 1))), kept(sweep((0, 1))))
    assert shared_combinations(frame, 3)[0] == "fou+kar"
    assert len(shared_combinations(frame, 2)) == 2


def test_without_samples_there_is_nothing() -> None:
    assert combinations_frame(cells_frame(sweep((0,))), {}).empty


def test_ranks_are_the_mean_over_modalities_of_their_medians() -> None:
    results = [result("mca", 0.4, 0, metrics={"probe/auprc": 0.5})]
    (samples,) = kept(results, count=80).values()
    samples["rank/fou"] = np.where(samples["has/fou"], np.arange(80.0) ** 2, np.nan)
    frame = combinations_frame(cells_frame(results), {results[0].key: samples})
    found = frame[frame["metric"] == "rank/median_mean"].set_index("combination")["mean"]
    both = samples[samples["has/fou"] & samples["has/kar"]]
    wanted = (np.median(both["rank/fou"]) + np.median(both["rank/kar"])) / 2
    assert found["fou+kar"] == pytest.approx(wanted)
    only = samples[samples["has/fou"] & ~samples["has/kar"]]
    assert found["fou"] == pytest.approx(np.median(only["rank/fou"]))
