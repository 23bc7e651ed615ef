"""Studies: what they deal, how they end trials, and that another driver goes on where one fell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from raymm.errors import SweepError
from raymm.sweep.search.strategy import SAMPLERS
from raymm.sweep.search.trials import mean_epochs
from tests.sweep.search.searches import METRIC, ask_all, storage_in, study_in

CHOICES = {"space": ("depth=1,2,3", "width=16,32")}


def raw(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="s/mca S=0.4", storage=storage_in(folder))


def test_the_first_trial_is_the_preset_and_a_trials_cells_are_kept(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    first, second = study.ask(), study.ask()
    assert first is not None and second is not None
    assert first.params == {
        "temperature": 0.07, "learning_rate": 0.008, "weight_decay": 0.01, "warmup_steps": 40,
    }  # fmt: skip
    assert first.params != second.params
    assert [record.is_default for record in study.records()] == [True, False]
    kept = raw(tmp_path).trials[1].user_attrs["cells"]
    assert kept == [cell.key for cell in second.cells]


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_a_search_that_is_interrupted_is_asked_the_same_as_one_that_is_not(
    tmp_path: Path, sampler: str
) -> None:
    """Every trial by another driver, against all trials by one."""

    def points(folder: Path, drivers: int) -> list[Any]:
        folder.mkdir()
        found = []
        for _ in range(drivers):
            study = study_in(folder, sampler=sampler)
            for _ in range(6 // drivers):
                trial = study.ask()
                assert trial is not None
                study.complete(trial.number, [{METRIC: float(trial.params["temperature"])}])
                found.append(trial.params)
        return found

    assert points(tmp_path / "one", 1) == points(tmp_path / "six", 6)


def test_another_driver_neither_repeats_nor_loses_a_trial(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    done, pruned, failed, left = (study.ask() for _ in range(4))
    assert done and pruned and failed and left
    study.complete(done.number, [{METRIC: 0.5}])
    study.condemn(pruned.number, "pruned at epoch 2", ["key"])
    assert study.condemned(pruned.number) == ["key"]
    study.prune(pruned.number)
    study.fail(failed.number, "TrainingError: nan", for_good=True)

    again = study_in(tmp_path)
    (resumed,) = again.running()
    assert (resumed.number, resumed.params, resumed.cells) == (left.number, left.params, left.cells)
    assert len(ask_all(again)) == 2
    states = [record.state for record in again.records()]
    assert states == ["complete", "pruned", "failed", "running", "running", "running"]
    assert [r.reason for r in again.records()][1:3] == ["pruned at epoch 2", "TrainingError: nan"]
    assert study_in(tmp_path, trials=8).left == 2


def test_what_failed_without_fault_of_its_settings_is_tried_anew_by_the_next_driver(
    tmp_path: Path,
) -> None:
    study = study_in(tmp_path, trials=2)
    first, second = study.ask(), study.ask()
    assert first and second
    study.fail(first.number, "its worker processes ended 3 times", for_good=False)
    study.complete(second.number, [{METRIC: 0.5}])
    assert study.ask() is None  # not by this one: it might fail for ever

    again = study_in(tmp_path, trials=2)
    (trial,) = ask_all(again)
    assert trial.params == first.params
    assert [record.is_default for record in again.records()] == [False, True]
    study_in(tmp_path, trials=2).fail(trial.number, "TrainingError: nan", for_good=True)
    assert ask_all(study_in(tmp_path, trials=2)) == []


def test_a_driver_that_ends_while_it_makes_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    study_in(tmp_path)
    raw(tmp_path).ask()  # takes the preset from the queue, and has no settings yet
    raw(tmp_path).ask().suggest_float("temperature", 0.02, 0.5, log=True)

    again = study_in(tmp_path)
    assert again.running() == []
    trials = ask_all(again)
    assert len(trials) == 6
    assert trials[0].params["temperature"] == 0.07
    assert [record.number for record in again.records()] == [trial.number for trial in trials]


def test_a_point_that_was_tried_takes_over_what_came_of_it(tmp_path: Path) -> None:
    study = study_in(tmp_path, sampler="random", trials=12, space=("depth=1,2",))
    dealt = []
    while (trial := study.ask()) is not None:
        dealt.append(trial.params["depth"])
        study.report(trial.number, {1: 3.0})
        study.complete(trial.number, [{METRIC: trial.params["depth"] / 10}])
    assert sorted(dealt) == [1, 2]
    records = study.records()
    assert len(records) == 12
    assert all(r.objectives == {METRIC: r.params["depth"] / 10} for r in records)
    assert all(r.epochs == {1: 3.0} for r in records)


def test_copies_of_a_trial_that_runs_end_with_it_even_by_another_driver(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sampler": "random", "trials": 12, "space": ("depth=1,2",)}
    dealt = ask_all(study_in(tmp_path, **settings))
    assert len(dealt) == 2
    again = study_in(tmp_path, **settings)
    resumed = again.running()
    assert [trial.number for trial in resumed] == [trial.number for trial in dealt]
    for trial in resumed:
        again.complete(trial.number, [{METRIC: 0.5}])
    assert {trial.state for trial in raw(tmp_path).trials} == {TrialState.COMPLETE}


def test_a_grid_walks_every_point_once_whoever_drives(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**CHOICES, "sampler": "grid", "trials": None}
    points = []
    for _ in range(3):
        study = study_in(tmp_path, **settings)
        for _ in range(2):
            trial = study.ask()
            assert trial is not None
            points.append((trial.params["depth"], trial.params["width"]))
            study.complete(trial.number, [{METRIC: 0.1}])
    assert sorted(points) == [(d, w) for d in (1, 2, 3) for w in (16, 32)]
    assert points[0] == (2, 32)
    assert study_in(tmp_path, **settings).ask() is None


def test_a_trial_is_the_mean_of_its_cells(tmp_path: Path) -> None:
    study = study_in(tmp_path, seeds=(0, 1))
    trial = study.ask()
    assert trial is not None and len(trial.cells) == 2
    study.complete(trial.number, [{METRIC: 0.25}, {METRIC: 0.75}])
    assert study.records()[0].objectives == {METRIC: 0.5}


@pytest.mark.parametrize("lacking", [{}, {METRIC: float("nan")}])
def test_a_trial_without_its_metric_has_failed(tmp_path: Path, lacking: dict[str, float]) -> None:
    study = study_in(tmp_path, seeds=(0, 1))
    trial = study.ask()
    assert trial is not None
    study.complete(trial.number, [{METRIC: 0.25}, lacking])
    (record,) = study.records()
    assert (record.state, record.reason) == (
        "failed", "val/probe/auprc does not exist for one of its cells",
    )  # fmt: skip


@pytest.mark.parametrize("objective", [("loss/val",), (METRIC,)])
def test_a_pruner_stops_what_is_worse_at_the_same_epoch(
    tmp_path: Path, objective: tuple[str, ...]
) -> None:
    """Asynchronous successive halving by hand: with rungs at epochs 1 and 3 of which a third goes
    on, each trial that is not the best of those at its rung so far is stopped there."""
    study = study_in(tmp_path, pruner="asha", objective=objective)
    curves = [(5.0, 4.0, 3.0), (6.0, 1.0, 1.0), (4.0, 4.0, 4.0), (2.0, 1.5, 1.0), (3.0, 0.0, 0.0)]
    stopped = []
    for curve in curves:
        trial = study.ask()
        assert trial is not None
        at = 0
        for epoch in range(1, 4):  # heard of one by one, each time with all so far
            known = dict(enumerate(curve[:epoch], 1))
            if study.report(trial.number, known):
                at = epoch
                study.prune(trial.number)
                break
        stopped.append(at)
    assert stopped == [0, 1, 3, 0, 1]
    records = study.records()
    assert [dict(record.epochs) for record in records[:2]] == [{1: 5.0, 2: 4.0, 3: 3.0}, {1: 6.0}]


def test_what_another_driver_has_ended_is_not_ended_twice(tmp_path: Path) -> None:
    one = study_in(tmp_path)
    trial = one.ask()
    assert trial is not None
    other = study_in(tmp_path)
    other.complete(trial.number, [{METRIC: 0.5}])
    assert not one.report(trial.number, {1: 1.0})
    one.complete(trial.number, [{METRIC: 0.9}])
    assert one.records()[0].objectives == {METRIC: 0.5}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"space": ("temperature",)},
            r"space is \{.* there, \{'temperature': '0.02:0.5:log'\} here",
        ),
        ({"objective": ("loss/val",)}, r"objective is \['val/probe/auprc'\] there"),
        ({"seeds": (0, 1)}, r"seeds is \[0\] there, \[0, 1\] here"),
        ({"epochs": 9}, "train.epochs is 5 there, 9 here"),
    ],
)
def test_a_study_of_another_search_is_refused(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    study_in(tmp_path)
    with pytest.raises(SweepError, match=said):
        study_in(tmp_path, **other)
    study_in(tmp_path, trials=50, sampler="random", pruner="median")  # more of the same


def test_a_study_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s/mca S=0.4", storage=storage_in(tmp_path))
    study.ask()
    with pytest.raises(SweepError, match="it was not made by raymm"):
        study_in(tmp_path)


def test_several_objectives_are_all_kept(tmp_path: Path) -> None:
    goals = ("val/uniformity/fusion", "val/alignment/mean")
    study = study_in(tmp_path, objective=goals, seeds=(0, 1))
    trial = study.ask()
    assert trial is not None
    assert not study.report(trial.number, {1: 1.0})
    cells = [{goals[0]: -1.0, goals[1]: 0.5}, {goals[0]: -2.0, goals[1]: 0.7}]
    study.complete(trial.number, cells)
    assert study.records()[0].objectives == pytest.approx({goals[0]: -1.5, goals[1]: 0.6})
    assert raw(tmp_path).directions == [optuna.study.StudyDirection.MINIMIZE] * 2


def test_the_mean_over_seeds_is_of_the_epochs_that_all_have_reached() -> None:
    one = [{"epoch": 1.0, "loss/val": 4.0}, {"epoch": 2.0, "loss/val": 2.0}]
    other = [{"epoch": 2.0, "loss/val": 1.0}, {"epoch": 1.0, "loss/val": 3.0},
             {"epoch": 3.0, "loss/val": 0.0}]  # fmt: skip
    assert mean_epochs([one, other], "loss/val") == {1: 3.5, 2: 1.5}
    assert mean_epochs([one, []], "loss/val") == {}
    assert mean_epochs([one], "loss/train") == {}


def test_a_condition_is_placed_by_the_largest_model_it_may_try(tmp_path: Path) -> None:
    study = study_in(tmp_path, space=("temperature", "depth=1:4", "width=64,16"))
    largest = study.largest().config
    assert (largest.model.depth, largest.model.width) == (4, 64)
    assert largest.loss.temperature == 0.07
