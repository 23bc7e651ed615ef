"""The plan of a search: what is begun, what is to come, and that nothing is written by looking."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from raymm.errors import SweepError
from raymm.sweep.search.run import prepare_search
from raymm.sweep.search.storage import open_storage
from raymm.sweep.search.study import ConditionStudy
from raymm.sweep.search.trials import Condition
from raymm.sweep.search.view import cells_to_come, show_search_plan
from tests.sweep.search.searches import METRIC, search_settings


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plan(**settings: object) -> str:
    search = prepare_search(search_settings(plan=True, **settings))
    console = Console(width=100, file=io.StringIO(), record=True)
    show_search_plan(search, console)
    return console.export_text()


def test_a_plan_says_what_is_to_come_and_writes_nothing(tmp_path: Path) -> None:
    text = plan(models=("mca", "eao"), seeds=(0, 1), trials=5)
    assert "10 in all, 5 for each condition, of 2 seed(s): 20 cells at most" in text
    rows = [line.split()[:4] for line in text.splitlines() if " of 10" in line]
    assert rows == [[model, "10", "of", "10"] for model in ("mca", "eao")]
    assert "temperature 0.02:0.5:log" in text
    assert list(tmp_path.iterdir()) == []


def test_what_is_begun_is_told_by_state_and_only_the_rest_is_to_come() -> None:
    settings = search_settings(trials=5, seeds=(0, 1), studies="s.journal")
    search = prepare_search(settings)
    storage = open_storage(search.address, make=True)
    assert storage is not None
    study = ConditionStudy("s", Condition("mca", 0.4), settings, search.sweep.dataset, storage)
    trials = [study.ask() for _ in range(3)]
    assert trials[0] and trials[1]
    study.complete(trials[0].number, [{METRIC: 0.5}, {METRIC: 0.7}])
    study.prune(trials[1].number)
    assert "mca S=0.4: 1 complete, 1 pruned, 1 running" in plan(
        trials=5, seeds=(0, 1), studies="s.journal"
    )
    assert len(cells_to_come(prepare_search(settings))) == 3 * 2


def test_another_search_of_the_name_is_refused_before_anything_is_written() -> None:
    settings = search_settings()
    search = prepare_search(settings)
    storage = open_storage(search.address, make=True)
    assert storage is not None
    ConditionStudy("s", Condition("mca", 0.4), settings, search.sweep.dataset, storage)
    address = search.address.removeprefix("sqlite:///")
    with pytest.raises(SweepError, match=r"of another search: objective is \['val/probe/auprc'\]"):
        prepare_search(search_settings(objective=("loss/val",), studies=address, results_dir="r"))
