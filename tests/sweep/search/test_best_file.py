"""What a search leaves for a grid: the same cells, and a refusal where they cannot be the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from raymm.errors import ConfigError
from raymm.sweep.grid import GridSettings
from raymm.sweep.search.best import chosen, pareto
from raymm.sweep.search.best_file import BEST_FILE, Best, write_best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord
from tests.sweep.search.searches import MCA, METRIC, search_settings
from tests.sweep.small import dataset

PARAMS = {"temperature": 0.2, "learning_rate": 0.001, "weight_decay": 0.1, "warmup_steps": 7}


def record(number: int, *values: float) -> TrialRecord:
    metrics = {f"val/m{place}": value for place, value in enumerate(values)}
    return TrialRecord(MCA, number, "complete" if values else "pruned", PARAMS, metrics)


def test_the_pareto_set_is_what_no_other_beats() -> None:
    goals = [Objective("val/m0"), Objective("val/m1")]
    trials = [record(0, 1, 5), record(1, 2, 2), record(2, 2, 3), record(3, 5, 1), record(4),
              record(5, 2, 2)]  # fmt: skip
    assert [trial.number for trial in pareto(trials, goals)] == [0, 1, 3, 5]
    best = chosen(trials, goals)
    assert best is not None and best.number == 0
    last = chosen(trials, goals[::-1])
    assert last is not None and last.number == 3
    assert chosen([record(0)], goals) is None


def test_the_better_direction_is_the_objectives() -> None:
    trials = [TrialRecord(Condition("mca", 0), n, "complete", {}, {METRIC: v})
              for n, v in enumerate((0.3, 0.9, 0.9))]  # fmt: skip
    best = chosen(trials, [Objective(METRIC)])
    assert best is not None and best.number == 1


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """A search of mca at 0.4 with width 16, and what it has chosen."""
    search = search_settings(width=16, seeds=(0, 1))
    trial = record(3, 0.5)
    cells = search.cells(dataset(), trial.condition, PARAMS)
    best = Best(trial=trial, cells=cells, default=None, pareto=(3,), test={"probe/auprc": 0.4})
    write_best([best], tmp_path / "s", name="s", dataset=dataset(), objective=["val/m0"])
    return tmp_path


def grid(results: Path, **settings: Any) -> GridSettings:
    plain = {"models": ("mca",), "sparsities": (0.4,), "from_search": "s"}
    return GridSettings(**{**plain, "results_dir": str(results), **settings})


def test_a_grid_has_the_very_cells_that_the_search_has_trained(found: Path) -> None:
    cells = {
        cell.config.train.seed: cell for cell in grid(found, seeds=(0, 1, 7)).expand(dataset())
    }
    left = json.loads((found / "s" / BEST_FILE).read_text())["conditions"][0]["cells"]
    assert left == {"0": cells[0].key, "1": cells[1].key}
    assert cells[7].config.loss.temperature == 0.2
    assert cells[7].config.model.width == 16
    assert {cell.config.train.warmup_steps for cell in cells.values()} == {7}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"from_search": "t"}, "there is no .*best.json"),
        ({"from_search": "../s"}, "is not the name of a search"),
        ({"sparsities": (0.4, 0.8)}, "has nothing for mca S=0.8. It has mca S=0.4"),
        ({"models": ("mca", "eao")}, "has nothing for eao S=0.4"),
        ({"width": 32}, "--width = 32 contradicts --from-search s, which chose width = 16"),
        ({"temperature": 0.07}, "--temperature = 0.07 contradicts"),
        ({"freeze_temperature": True}, "--learn-temperature = False contradicts"),
        ({"split_seed": 3}, "split_seed is 3 here, 0 there"),
        ({"preset": "paper"}, "test_fraction is 0.1 here, 0.15 there"),
    ],
)
def test_a_grid_that_cannot_take_them_is_refused(
    found: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        grid(found, **settings).expand(dataset())


def test_settings_that_agree_with_the_search_are_no_contradiction(found: Path) -> None:
    assert len(grid(found, width=16, temperature=0.2).expand(dataset())) == 2


def test_other_data_are_refused(found: Path) -> None:
    with pytest.raises(ConfigError, match="was made on other data"):
        grid(found).expand(dataclasses.replace(dataset(), fingerprint="another"))


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "cannot be read"), ("{}", "cannot be read"), ('{"format": 9}', "has format 9")],
)
def test_a_file_that_is_none_is_refused(found: Path, content: str, said: str) -> None:
    (found / "s" / BEST_FILE).write_text(content)
    with pytest.raises(ConfigError, match=said):
        grid(found).expand(dataset())
