from __future__ import annotations

from pathlib import Path

import pytest

from raymm.report.page.search import SearchRecord, search_page
from raymm.report.page.search_plots import share_of
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.space import parse_space
from raymm.sweep.search.trials import TrialRecord
from tests.report.page.browser import CHROMIUM, visit
from tests.report.page.test_page import read
from tests.report.test_search import AUPRC, MCA, SPACES, TRIALS, UNIFORMITY, best_of


def page(goals: list[Objective], trials: list[TrialRecord] = TRIALS) -> str:
    best = best_of(goals) if trials is TRIALS else []
    return search_page(
        SearchRecord(
            name="lr <search>",
            trials=trials,
            best=best,
            goals=goals,
            spaces=SPACES,
            command="python sweeps/temperature_lr.py",
            settings={"trials": 8},
            environment={"optuna": "5.0.0"},
        )
    )


def test_sections_of_one_objective_and_of_two() -> None:
    one, two = read(page([AUPRC])), read(page([AUPRC, UNIFORMITY]))
    sections = {"best", "parallel", "importance", "history", "trials", "making"}
    assert sections <= set(one.ids) and "pareto" not in one.ids
    assert "pareto" in two.ids


def test_what_was_gained_and_each_trial_are_said() -> None:
    text = page([AUPRC])
    assert "something better than the preset was found for 1 of 2 conditions" in text
    assert "The most is 0.300, for MCA, S = 0." in text
    assert "trial 3: val/probe/auprc 0.800, val/uniformity/fusion" in text
    assert "trial 6 pruned: pruned at epoch 1" in text and "TrainingError: a | b" in text
    assert text.count('class="trial') == 8  # a line for each complete trial
    assert "http" not in text and "<title>lr &lt;search&gt;</title>" in text


def test_without_a_complete_trial_it_says_so() -> None:
    lost = [TrialRecord(MCA, 0, "failed", {"depth": 1}, reason="no memory")]
    text = page([AUPRC], lost)
    read(text)
    assert "No trial is complete yet." in text and "no memory" in text


def test_places_in_a_space() -> None:
    defaults = {"learning_rate": 0.01, "depth": 2, "negatives": "present"}
    space = parse_space(["learning_rate=0.001:0.1", "depth=1:5", "negatives"], defaults)
    assert share_of(space["learning_rate"], 0.01) == pytest.approx(0.5)  # its scale is a logarithm
    assert share_of(space["depth"], 2) == pytest.approx(0.25)
    assert share_of(space["negatives"], "all") in (0.0, 1.0)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian's package)")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_in_a_browser(tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(page([AUPRC, UNIFORMITY]))
    seen = visit(file, width=width)
    assert seen.console == [] and seen.found["overflow"] <= 0
