"""Who is dealt when, how trials are judged by their cells, and what is scored on the test split."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.dealing import Deal, Stop
from raymm.sweep.search.conductor import Conductor
from raymm.sweep.search.study import ConditionStudy
from raymm.sweep.search.trials import Condition
from raymm.tracking import StoreAwayError
from tests.sweep.search.searches import losses, result, study_in

EAO = Condition("eao", 0.4)
VALIDATED = {"val/uniformity/fusion": -1.0}
TESTED = {"uniformity/fusion": -1.0, "probe/auprc": 0.4}


class Ledger:
    """What is recorded of cells, as the tracker tells it."""

    def __init__(self) -> None:
        self.results: dict[str, CellResult] = {}
        self.elsewhere: set[str] = set()
        self.discarded: list[str] = []
        self.away = False

    def __call__(self, cells: Sequence[Cell]) -> Mapping[str, CellResult] | None:
        if self.away:
            raise StoreAwayError("away")
        if self.elsewhere & {cell.key for cell in cells}:
            return None
        return {c.key: self.results[c.key] for c in cells if c.key in self.results}


def conductor(*studies: ConditionStudy, ledger: Ledger | None = None) -> Conductor:
    ledger = ledger or Ledger()
    return Conductor(studies, ledger, ledger.discarded.append, lambda line: None)


def stopped(stops: Collection[Stop], *, discard: bool) -> list[Cell]:
    assert all(stop.discard is discard for stop in stops)
    return [stop.cell for stop in stops]


def finish(lead: Conductor, deal: Deal, auprc: float) -> None:
    """All cells of a deal end as they were asked to."""
    metrics = {"auprc": auprc, **VALIDATED} if deal.score == "validation" else TESTED
    for cell in deal.cells:
        assert not lead.heard(deal, cell, losses(1.0), result(cell, **metrics))


def dealt(lead: Conductor) -> Deal:
    deal = lead.next()
    assert deal is not None
    return deal


def test_conditions_take_turns_and_each_ends_with_its_best_on_test(tmp_path: Path) -> None:
    studies = [
        study_in(tmp_path, condition, models=("mca", "eao"), trials=3)
        for condition in (Condition("mca", 0.4), EAO)
    ]
    lead = conductor(*studies)
    order = []
    scores = {"mca S=0.4": [0.1, 0.9, 0.2], "eao S=0.4": [0.8, 0.1, 0.3]}
    while not lead.exhausted:
        deal = dealt(lead)
        order.append(deal.name)
        title, _, number = deal.name.partition(" trial ")
        finish(lead, deal, scores[title][int(number)] if number.isdigit() else 0)
    assert order == [
        "mca S=0.4 trial 0", "eao S=0.4 trial 0", "mca S=0.4 trial 1", "eao S=0.4 trial 1",
        "mca S=0.4 trial 2", "eao S=0.4 trial 2",
        "mca S=0.4 trial 1 on test", "eao S=0.4 trial 0 on test",
    ]  # fmt: skip
    assert lead.done
    assert {r.metrics["probe/auprc"] for r in lead.test_results.values()} == {0.4}
    assert len(lead.test_results) == 2


def test_a_condition_is_not_scored_while_a_trial_of_it_runs(tmp_path: Path) -> None:
    lead = conductor(study_in(tmp_path, trials=2))
    first, second = dealt(lead), dealt(lead)
    assert lead.next() is None and not lead.exhausted
    finish(lead, first, 0.5)
    assert lead.next() is None and not lead.exhausted
    finish(lead, second, 0.4)
    score = dealt(lead)
    assert (score.name, score.score) == ("mca S=0.4 trial 0 on test", "test")
    assert score.cells == first.cells
    assert lead.exhausted and not lead.done
    finish(lead, score, 0)
    assert lead.done


def test_a_trial_is_pruned_by_the_mean_over_its_seeds_at_the_same_epoch(tmp_path: Path) -> None:
    study = study_in(tmp_path, seeds=(0, 1), pruner="asha", trials=2)
    lead = conductor(study)
    good, bad = dealt(lead), dealt(lead)
    for cell in good.cells:
        assert not lead.heard(good, cell, losses(2.0), None)
    fast, slow = bad.cells
    assert not lead.heard(bad, fast, losses(1.0, 9.0, 9.0, 9.0), None)  # alone it says nothing
    assert stopped(lead.heard(bad, slow, losses(9.0), None), discard=True) == [fast, slow]
    assert lead.why_stopped(slow) == "pruned at epoch 1"
    assert not lead.heard(bad, slow, losses(9.0), result(slow, "stopped"))
    assert study.records()[1].state == "running"  # until nothing is left of it
    assert not lead.heard(bad, fast, losses(9.0), result(fast, "stopped"))
    assert (study.records()[1].state, study.records()[1].reason) == ("pruned", "pruned at epoch 1")
    assert lead.next() is None  # the good one still runs
    for cell in good.cells:
        lead.heard(good, cell, losses(2.0), result(cell, auprc=0.5))
    assert dealt(lead).name == "mca S=0.4 trial 0 on test"


def test_when_a_seed_fails_the_others_are_not_trained_in_vain(tmp_path: Path) -> None:
    study = study_in(tmp_path, seeds=(0, 1), trials=2)
    lead = conductor(study)
    deal = dealt(lead)
    one, other = deal.cells
    failed = result(one, "failed", "TrainingError: the loss is nan at step 3")
    assert stopped(lead.heard(deal, one, (), failed), discard=True) == [other]
    assert lead.why_stopped(other) == "another seed of its trial failed"
    (record,) = study.records()
    assert (record.state, record.reason) == ("failed", failed.reason)
    assert study_in(tmp_path, seeds=(0, 1), trials=2).left == 1  # nan would be nan again


def test_cells_that_the_ledger_has_are_not_trained_again(tmp_path: Path) -> None:
    """One seed finished before the driver fell; the next driver only trains the other."""
    ledger = Ledger()
    deal = dealt(conductor(study_in(tmp_path, seeds=(0, 1), trials=1), ledger=ledger))
    one, other = deal.cells
    ledger.results[one.key] = result(one, auprc=0.2)
    study = study_in(tmp_path, seeds=(0, 1), trials=1)
    lead = conductor(study, ledger=ledger)
    again = dealt(lead)
    assert (again.name, again.cells) == (deal.name, (other,))
    lead.heard(again, other, losses(1.0), result(other, auprc=0.4))
    assert study.records()[0].objectives == {"val/probe/auprc": 0.30000000000000004}


def test_a_trial_whose_cells_are_all_known_ends_without_being_dealt(tmp_path: Path) -> None:
    ledger = Ledger()
    before = dealt(conductor(study_in(tmp_path, trials=1)))
    (cell,) = before.cells
    ledger.results[cell.key] = result(cell, auprc=0.2, **VALIDATED, **TESTED)
    lead = conductor(study_in(tmp_path, trials=1), ledger=ledger)
    assert lead.next() is None
    assert lead.exhausted and lead.done
    assert lead.test_results[cell.key].metrics["probe/auprc"] == 0.4


def test_what_a_grid_has_trained_is_only_scored_on_validation_and_never_discarded(
    tmp_path: Path,
) -> None:
    """A cell of another sweep is not thrown away when the trial that uses it is pruned."""
    settings: dict[str, Any] = {"seeds": (0, 1), "pruner": "asha", "trials": 2}
    study = study_in(tmp_path, **settings)
    lead = conductor(study)
    first, second = dealt(lead), dealt(lead)
    for cell in first.cells:
        lead.heard(first, cell, losses(1.0), None)
    ledger = Ledger()
    kept, new = second.cells
    ledger.results[kept.key] = CellResult(
        kept.config, "small", kept.key, "finished", metrics=TESTED, curve=tuple(losses(9.0, 9.0))
    )
    lead = conductor(study_in(tmp_path, **settings), ledger=ledger)
    deals = {deal.name: deal for deal in (dealt(lead), dealt(lead))}
    second = deals[second.name]
    assert second.cells == (kept, new) and second.score == "validation"
    assert stopped(lead.heard(second, new, losses(9.0), None), discard=True) == [new]
    assert not lead.heard(second, new, (), result(new, "stopped"))
    assert ledger.discarded == []


def test_nothing_is_left_to_deal_of_a_search_that_is_done(tmp_path: Path) -> None:
    ledger = Ledger()
    lead = conductor(study_in(tmp_path, trials=1), ledger=ledger)
    deal = dealt(lead)
    finish(lead, deal, 0.5)
    (cell,) = deal.cells
    finish(lead, dealt(lead), 0.5)
    ledger.results[cell.key] = result(cell, auprc=0.5, **VALIDATED, **TESTED)
    again = conductor(study_in(tmp_path, trials=1), ledger=ledger)
    assert again.next() is None and again.done
    more = conductor(study_in(tmp_path, trials=2), ledger=ledger)
    assert dealt(more).name == "mca S=0.4 trial 1"


def test_two_drivers_share_a_search_and_the_one_left_takes_up_what_the_other_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymm.sweep.search.conductor.LOOK_AGAIN_S", 0.0)
    one = conductor(study_in(tmp_path, trials=3))
    ledger, study = Ledger(), study_in(tmp_path, trials=3)
    other = conductor(study, ledger=ledger)
    first, second = dealt(one), dealt(one)
    ledger.elsewhere = {cell.key for cell in (*first.cells, *second.cells)}
    third = dealt(other)
    assert third.name == "mca S=0.4 trial 2"
    finish(other, third, 0.3)
    assert other.next() is None and not other.exhausted  # the first driver is at work still

    finish(one, first, 0.5)
    (cell,) = first.cells
    ledger.results[cell.key] = result(cell, auprc=0.5, **VALIDATED)
    assert other.next() is None
    ledger.elsewhere = set()  # the first driver is gone
    again = dealt(other)
    assert (again.name, again.cells) == (second.name, second.cells)
    finish(other, again, 0.1)
    assert dealt(other).name == "mca S=0.4 trial 0 on test"
    assert [r.objectives["val/probe/auprc"] for r in study.records()] == [0.5, 0.1, 0.3]


def test_what_a_condition_waits_for_is_not_looked_at_all_the_time(tmp_path: Path) -> None:
    ledger, looked = Ledger(), []

    def known(cells: Sequence[Cell]) -> Mapping[str, CellResult] | None:
        looked.append(cells)
        return ledger(cells)

    before = dealt(conductor(study_in(tmp_path, trials=1)))
    ledger.elsewhere = {cell.key for cell in before.cells}
    lead = Conductor([study_in(tmp_path, trials=1)], known, print, print)
    assert [lead.next() for _ in range(5)] == [None] * 5
    assert len(looked) == 1


def test_nothing_is_left_of_a_seed_that_finished_before_its_trial_was_pruned(
    tmp_path: Path,
) -> None:
    ledger = Ledger()
    study = study_in(tmp_path, seeds=(0, 1), pruner="asha", trials=2)
    lead = conductor(study, ledger=ledger)
    good, bad = dealt(lead), dealt(lead)
    for cell in good.cells:
        lead.heard(good, cell, losses(1.0), None)
    first, second = bad.cells
    assert not lead.heard(bad, first, losses(9.0, 9.0), result(first, auprc=0.1))
    assert stopped(lead.heard(bad, second, losses(9.0), None), discard=True) == [second]
    assert ledger.discarded == [first.key]
    # It ends, before it hears that it is to stop.
    assert not lead.heard(bad, second, losses(9.0), result(second, auprc=0.1))
    assert ledger.discarded == [first.key, second.key]
    assert study.records()[1].state == "pruned"


def test_what_a_driver_leaves_of_a_pruned_trial_goes_with_the_next_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seeds": (0, 1), "pruner": "asha", "trials": 2}
    lead = conductor(study_in(tmp_path, **settings))
    good, bad = dealt(lead), dealt(lead)
    for cell in good.cells:
        lead.heard(good, cell, losses(1.0), None)
    for cell in bad.cells:
        lead.heard(bad, cell, losses(9.0), None)  # and here the driver falls
    ledger, study = Ledger(), study_in(tmp_path, **settings)
    again = conductor(study, ledger=ledger)
    assert dealt(again).name == good.name
    assert again.next() is None
    assert ledger.discarded == [cell.key for cell in bad.cells]
    assert (study.records()[1].state, study.records()[1].reason) == ("pruned", "pruned at epoch 1")


def test_a_cell_that_may_go_on_keeps_its_checkpoint_when_its_trial_fails(tmp_path: Path) -> None:
    lead = conductor(study_in(tmp_path, seeds=(0, 1), trials=1))
    deal = dealt(lead)
    one, other = deal.cells
    lost = result(one, "failed", "StorageError: The checkpoint of epoch 3 could not be written")
    assert stopped(lead.heard(deal, one, (), lost), discard=False) == [other]
    assert study_in(tmp_path, seeds=(0, 1), trials=1).left == 1  # to be tried anew


def test_while_the_ledger_is_away_no_trials_are_asked_for_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymm.sweep.search.conductor.LOOK_AGAIN_S", 0.0)
    ledger, study = Ledger(), study_in(tmp_path, trials=4)
    lead = conductor(study, ledger=ledger)
    ledger.away = True
    assert [lead.next() for _ in range(5)] == [None] * 5
    assert len(study.running()) == 1
    ledger.away = False
    assert [dealt(lead).name for _ in range(2)] == ["mca S=0.4 trial 0", "mca S=0.4 trial 1"]


def test_a_ledger_that_stays_away_ends_a_search_that_has_nothing_left_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymm.sweep.search.conductor.LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("raymm.sweep.search.conductor.PATIENCE_S", 0.2)
    ledger = Ledger()
    lead = conductor(study_in(tmp_path, trials=2), ledger=ledger)
    deal = dealt(lead)
    ledger.away = True
    assert lead.next() is None
    time.sleep(0.3)
    assert lead.next() is None  # what is trained is waited for
    finish(lead, deal, 0.5)
    with pytest.raises(StoreAwayError, match="away"):
        lead.next()


def test_no_more_trials_are_asked_for_while_some_wait_for_cells_of_other_drivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid trains what they need just now; they are dealt when it is done with the cells."""
    monkeypatch.setattr("raymm.sweep.search.conductor.LOOK_AGAIN_S", 0.0)
    study, busy = study_in(tmp_path, trials=8), [True]
    lead = Conductor([study], lambda cells: None if busy[0] else {}, print, print)
    assert [lead.next() for _ in range(4)] == [None] * 4
    assert len(study.running()) == 3 and not lead.exhausted
    busy[0] = False
    assert [dealt(lead).name for _ in range(4)] == [f"mca S=0.4 trial {n}" for n in range(4)]
