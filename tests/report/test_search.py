"""Tables, figures and the report of a search, from made-up trials whose best is known."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from raymm.errors import SweepError
from raymm.report.make import make_report
from raymm.report.page.search import SearchRecord
from raymm.report.results import find_sweeps
from raymm.report.search import best_frame, best_so_far, best_table, trials_frame
from raymm.report.search_figures import CAPTIONS, importances, search_figures
from raymm.report.search_write import write_search_report
from raymm.sweep.search.best import chosen, pareto
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.space import Space, parse_space
from raymm.sweep.search.trials import Condition, TrialRecord

AUPRC, UNIFORMITY = Objective("val/probe/auprc"), Objective("val/uniformity/fusion")
MCA, EAO = Condition("mca", 0.0), Condition("eao", 0.6)
SPACE = parse_space(
    ["learning_rate=0.001:0.1", "depth=1:4", "negatives"],
    {"learning_rate": 0.01, "depth": 2, "negatives": "present"},
)
SPACES: dict[str, Space] = {"mca": SPACE, "eao": {"depth": SPACE["depth"]}}


def trial(condition: Condition, number: int, rate: float, depth: int, auprc: float) -> TrialRecord:
    params = {"learning_rate": rate, "depth": depth, "negatives": ("present", "all")[number % 2]}
    own = {name: params[name] for name in SPACES[condition.model]}
    values = {"val/probe/auprc": auprc, "val/uniformity/fusion": -auprc * depth}
    return TrialRecord(
        condition, number, "complete", own, values, {1: 3.0, 2: 2.0}, number == 0, seconds=1.25
    )


TRIALS = [
    trial(EAO, 0, 0.01, 2, 0.50),
    trial(EAO, 1, 0.01, 1, 0.40),
    *(trial(MCA, n, rate, 1 + n % 4, auprc) for n, (rate, auprc) in enumerate(
        [(0.01, 0.5), (0.001, 0.3), (0.1, 0.6), (0.05, 0.8), (0.02, 0.7), (0.002, 0.4)]
    )),
    TrialRecord(MCA, 6, "pruned", {"learning_rate": 0.003, "depth": 2, "negatives": "all"},
                epochs={1: 9.0}, reason="pruned at epoch 1"),
    TrialRecord(MCA, 7, "failed", {"learning_rate": 0.09, "depth": 2, "negatives": "all"},
                reason="TrainingError: a | b"),
]  # fmt: skip


def best_of(goals: list[Objective]) -> list[Best]:
    found = []
    for condition in (MCA, EAO):
        trials = [t for t in TRIALS if t.condition == condition]
        best = chosen(trials, goals)
        assert best is not None
        numbers = tuple(t.number for t in pareto(trials, goals))
        found.append(
            Best(best, (), trials[0], numbers, {"probe/auprc": 0.45, "rank/median_mean": 3})
        )
    return found


def test_a_row_per_trial_models_in_their_order() -> None:
    frame = trials_frame(TRIALS)
    assert list(frame["model"]) == ["mca"] * 8 + ["eao"] * 2
    assert list(frame["trial"]) == [*range(8), 0, 1]
    assert list(frame["epochs"][:8]) == [2] * 6 + [1, 0]
    assert frame["learning_rate"].isna().sum() == 2  # eao has not searched it
    assert frame["val/probe/auprc"].isna().sum() == 2
    assert frame.loc[3, "val/probe/auprc"] == 0.8


def test_the_gain_is_positive_where_something_better_was_found() -> None:
    frame = best_frame(best_of([AUPRC]), [AUPRC, UNIFORMITY]).set_index("model")
    assert frame.loc["mca", "trial"] == 3
    assert frame.loc["mca", "gain val/probe/auprc"] == pytest.approx(0.3)
    assert frame.loc["mca", "gain val/uniformity/fusion"] == pytest.approx(-0.5 + 0.8 * 4)
    assert frame.loc["eao", "gain val/probe/auprc"] == 0
    assert frame.loc["mca", "test probe/auprc"] == 0.45
    without = [Best(best_of([AUPRC])[0].trial, (), None, (3,), {})]
    assert math.isnan(best_frame(without, [AUPRC])["gain val/probe/auprc"][0])


def test_the_best_so_far_only_gets_better() -> None:
    trials = [t for t in TRIALS if t.condition == MCA]
    assert best_so_far(trials, AUPRC) == {
        0: 0.5, 1: 0.5, 2: 0.6, 3: 0.8, 4: 0.8, 5: 0.8, 6: 0.8, 7: 0.8,
    }  # fmt: skip


def test_what_alone_decides_the_objective_explains_all_of_it() -> None:
    rates = [0.001 * 1.2**n for n in range(24)]
    trials = [trial(MCA, n, rate, 1 + n % 4, math.log(rate)) for n, rate in enumerate(rates)]
    shares = importances(trials, AUPRC, SPACE)
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    same = [trial(MCA, n, rate, 1, 0.5) for n, rate in enumerate(rates)]
    assert importances(same, AUPRC, SPACE) == {}


def test_there_is_a_figure_where_there_are_numbers_for_one() -> None:
    one = search_figures(TRIALS, [AUPRC], SPACES)
    assert set(one) == {"search_history", "search_parallel", "search_importance"}
    assert [axes.get_title() for axes in one["search_history"].axes] == ["eao S=0.6", "mca S=0"]
    assert [axes.get_title() for axes in one["search_importance"].axes] == ["mca S=0"]
    two = search_figures(TRIALS, [AUPRC, UNIFORMITY], SPACES)
    assert set(two) == set(CAPTIONS)
    assert search_figures(TRIALS[-2:], [AUPRC], SPACES) == {}


def test_the_parallel_lines_pass_their_axes_where_their_values_are() -> None:
    figure = search_figures(TRIALS[:2], [AUPRC], SPACES)["search_parallel"]
    heights = sorted(tuple(line.get_ydata()) for line in figure.axes[0].lines)
    assert heights == [(0.0, 0.0), (pytest.approx(1 / 3), 1.0)]


def record(trials: list[TrialRecord], best: list[Best], goals: list[Objective]) -> SearchRecord:
    return SearchRecord(
        name="s", trials=trials, best=best, goals=goals, spaces=SPACES, command="python s.py",
        settings={"trials": 8}, environment={"CPUs": "2"},
    )  # fmt: skip


def test_the_report_has_the_best_settings_and_every_trial(tmp_path: Path) -> None:
    goals = [AUPRC, UNIFORMITY]
    for _ in range(2):
        write_search_report(record(TRIALS, best_of(goals), goals), tmp_path)
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    text = (tmp_path / "report.md").read_text()
    assert "10 trials of 2 conditions: 8 complete, 1 pruned, 1 failed." in text
    assert "| MCA | 0 | 3 | 0.05 | 4 | all | 0.800 (0.500) | -3.200 (-0.500) |" in text
    assert "TrainingError: a \\| b" in text
    assert "python s.py" in text
    for stem in CAPTIONS:
        assert f"![]({stem}.png)" in text
        assert (tmp_path / f"{stem}.svg").stat().st_size > 1000
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 10
    assert list(pd.read_csv(tmp_path / "best.csv")["model"]) == ["mca", "eao"]
    assert not list(tmp_path.glob(".*"))


def test_a_search_without_a_complete_trial_has_a_report(tmp_path: Path) -> None:
    write_search_report(record(TRIALS[-1:], [], [AUPRC]), tmp_path)
    assert "No trial is complete yet." in (tmp_path / "report.md").read_text()


def test_the_table_of_the_terminal_shows_the_best_and_the_preset() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(best_table(best_of([AUPRC]), [AUPRC]))
    lines = console.export_text().splitlines()
    (mca,) = (line.split() for line in lines if "MCA" in line)
    assert mca == ["MCA", "0", "0.05", "4", "all", "0.800", "0.500"]
    (eao,) = (line.split() for line in lines if "EAO" in line)
    assert eao == ["EAO", "0.6", "-", "2", "-", "0.500", "0.500"]


def test_a_report_is_made_again_from_its_folder(tmp_path: Path) -> None:
    goals = [AUPRC, UNIFORMITY]
    write_search_report(record(TRIALS, best_of(goals), goals), tmp_path / "lr")
    before = {file.name: file.read_bytes() for file in (tmp_path / "lr").iterdir()}
    for file in (tmp_path / "lr").iterdir():
        if file.name not in ("search.json", "trials.csv"):
            file.unlink()
    page = make_report(["lr"], Console(), results_dir=str(tmp_path))
    assert page == tmp_path / "lr" / "report.html"
    after = {file.name: file.read_bytes() for file in (tmp_path / "lr").iterdir()}
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []


def test_a_search_is_no_sweep_to_compare(tmp_path: Path) -> None:
    folder = tmp_path / "lr"
    write_search_report(record(TRIALS, best_of([AUPRC]), [AUPRC]), folder)
    with pytest.raises(SweepError, match=r"is a search, .* made by `raymm report lr`"):
        find_sweeps(["lr"], results_dir=str(tmp_path))
    for text, said in (("{", "cannot be read"), ('{"format": 99}', "this program reads 1")):
        (folder / "search.json").write_text(text)
        with pytest.raises(SweepError, match=said):
            make_report(["lr"], Console(), results_dir=str(tmp_path))
