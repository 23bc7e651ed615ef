"""Settings of a search: what is refused before anything starts, and what cells it makes."""

from __future__ import annotations

from typing import Any

import pytest

from raymm.errors import ConfigError
from raymm.sweep.grid import GridSettings
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.trials import Condition
from tests.sweep.small import dataset


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"space": ()}, "--space is empty"),
        ({"temperature": 0.07}, "--temperature = 0.07 is fixed and --space searches it"),
        ({"learning_rate": 0.1}, "--learning-rate = 0.1 is fixed"),
        ({"space": ("temperature=0.001:0.1",)}, "--space lets temperature be 0.001 for 'mca'"),
        ({"space": ("depth=0:2",)}, "--space lets depth be 0 .*Give 1 or more"),
        ({"objective": ("probe/auprc",)}, "test split"),
        ({"sampler": "grid"}, "cannot walk through temperature"),
        ({"sampler": "grid", "space": ("depth=1,2",), "trials": 3}, "has 2 points"),
        ({"sampler": "cma-es", "space": ("width=16,32", "depth")}, "among the values of width"),
        ({"sampler": "cma-es", "space": ("depth",)}, "needs two settings"),
        ({"sampler": "cma-es", "objective": ("loss/val", "parameters")}, "one objective only"),
        ({"pruner": "asha", "objective": ("loss/val", "parameters")}, "none can be pruned"),
        ({"pruner": "median", "grace_epochs": 5}, "nothing to prune in trainings of 5 epochs"),
        ({"pruner": "asha", "prune_on": "val/probe/auprc"}, "not measured in every epoch"),
        ({"trials": 0}, "--trials = 0"),
        ({"space": ("negatives",), "objective": ("loss/val",)}, "each has another loss"),
        (
            {"space": ("temperature",), "freeze_temperature": True, "pruner": "asha"},
            "loss/val cannot compare trials that differ in temperature",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SearchSettings(**settings).expand(dataset())


def test_a_trials_cells_are_those_a_grid_with_its_settings_has() -> None:
    search = SearchSettings(models=("mca",), sparsities=(0.4,), seeds=(0, 1), width=16)
    params = {"temperature": 0.1, "learning_rate": 0.002, "weight_decay": 0.5, "warmup_steps": 3}
    cells = search.cells(dataset(), Condition("mca", 0.4), params)
    grid = GridSettings(models=("mca",), sparsities=(0.4,), seeds=(0, 1), width=16, **params)
    assert {cell.key for cell in cells} == {cell.key for cell in grid.expand(dataset())}


def test_the_preset_is_a_point_of_the_space_unless_the_space_leaves_it_out() -> None:
    search = SearchSettings(space=("temperature", "depth=3:4"))
    space = search.spaces(dataset())["mca"]
    assert search.default_point(dataset(), space) is None
    search = SearchSettings(space=("temperature", "depth"))
    point = search.default_point(dataset(), search.spaces(dataset())["mca"])
    assert point == {"temperature": 0.07, "depth": 2}
    paper = SearchSettings(preset="paper")
    assert paper.preset_values(dataset())["learning_rate"] == 1e-4


def test_a_grid_has_as_many_trials_as_points() -> None:
    search = SearchSettings(sampler="grid", space=("depth=1,2,3", "width=16,32"))
    assert search.trials_of(search.spaces(dataset())["mca"]) == 6
    assert SearchSettings().trials_of(SearchSettings().spaces(dataset())["mca"]) == 12


def test_searches_of_other_spaces_have_other_names() -> None:
    from raymm.sweep.places import sweep_name

    def name(**settings: Any) -> str:
        search = SearchSettings(**settings)
        return sweep_name(search, dataset(), search.expand(dataset()))

    assert name() == "small-search"
    assert name(trials=40) == name(studies="elsewhere.db") == "small-search"
    others = [name(space=("depth",)), name(space=("width",)), name(objective=("loss/val",))]
    assert len({name(), *others}) == 4
