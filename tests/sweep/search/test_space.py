"""The words of --space, and the distributions they stand for."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raymm.config import CellConfig
from raymm.errors import ConfigError
from raymm.sweep.search.settings import searchable_values
from raymm.sweep.search.space import (
    SEARCHABLE,
    contains,
    edges,
    grid_points,
    parse_space,
    space_of,
    space_words,
)

DEFAULTS = searchable_values(CellConfig())


def test_every_searchable_setting_is_one_of_a_cell_and_its_default_range_holds_the_default() -> (
    None
):
    assert DEFAULTS.keys() == SEARCHABLE.keys()
    assert contains(parse_space(SEARCHABLE, DEFAULTS), DEFAULTS)


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("temperature", FloatDistribution(0.02, 0.5, log=True)),
        ("learning_rate=1e-4:0.1", FloatDistribution(1e-4, 0.1, log=True)),
        ("learning-rate=1e-4:0.1:linear", FloatDistribution(1e-4, 0.1)),
        ("weight_decay=0:0.25:0.1", FloatDistribution(0, 0.2, step=0.1)),
        ("warmup_steps=0:80", IntDistribution(0, 80)),
        ("warmup_steps=0:90:20", IntDistribution(0, 80, step=20)),
        ("width=16:64:log", IntDistribution(16, 64, log=True)),
        ("width=64,16", CategoricalDistribution((64, 16))),
        ("negatives", CategoricalDistribution(("present", "all"))),
    ],
)
def test_a_word_is_a_distribution(word: str, distribution: object) -> None:
    (parsed,) = parse_space([word], DEFAULTS).values()
    assert parsed == distribution


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--space is empty"),
        (["temprature"], "did you mean 'temperature'"),
        (["depth", "depth=1:2"], "'depth' is there twice"),
        (["temperature="], "nothing after '='"),
        (["temperature=0.1"], "cannot be understood"),
        (["temperature=0.1:0.2:0.01:log"], "cannot be understood"),
        (["temperature=0.2:0.1"], "0.2 is not below 0.1"),
        (["temperature=0.1:hot"], "'hot' is not a number"),
        (["temperature=0.1:inf"], "'inf' is not a finite number"),
        (["depth=1:2.5"], "'2.5' is not a whole number"),
        (["weight_decay=0:0.1"], "must begin above 0"),
        (["depth=1:4:0"], "a step of 0 does not fit"),
        (["depth=1:4:9"], "a step of 9 does not fit"),
        (["width=16,32,16"], "each value only once"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_space(words, DEFAULTS)


def test_a_model_has_the_part_of_the_space_it_has_settings_for() -> None:
    space = parse_space(["fusion_tokens", "depth"], DEFAULTS)
    assert set(space_of("mca", space)) == {"fusion_tokens", "depth"}
    assert set(space_of("eao", space)) == {"depth"}
    with pytest.raises(ConfigError, match="nothing that model 'eao' could use"):
        space_of("eao", parse_space(["fusion_tokens"], DEFAULTS))


def test_a_grid_has_every_value_its_ends_included() -> None:
    space = parse_space(["weight_decay=0:0.3:0.1", "warmup_steps=0:90:20", "width=16,64"], DEFAULTS)
    points = {name: grid_points(name, distribution) for name, distribution in space.items()}
    assert points["weight_decay"] == pytest.approx((0, 0.1, 0.2, 0.3))
    assert points["warmup_steps"] == (0, 20, 40, 60, 80)
    assert points["width"] == (16, 64)
    assert all(contains({n: space[n]}, {n: v}) for n, values in points.items() for v in values)
    (log,) = parse_space(["width=16:64:log"], DEFAULTS).values()
    for name, distribution in {**parse_space(["temperature"], DEFAULTS), "width": log}.items():
        with pytest.raises(ConfigError, match=f"cannot walk through {name}"):
            grid_points(name, distribution)


def test_a_point_between_the_steps_is_not_in_the_space() -> None:
    space = parse_space(["warmup_steps=0:80:20", "negatives=present,all"], DEFAULTS)
    assert contains(space, {"warmup_steps": 40, "negatives": "all"})
    assert not contains(space, {"warmup_steps": 41, "negatives": "all"})
    assert not contains(space, {"warmup_steps": 100, "negatives": "all"})
    assert not contains(space, {"warmup_steps": 40, "negatives": "none"})


def test_a_space_is_written_as_it_can_be_read() -> None:
    words = ["temperature", "weight_decay=0:0.2:0.1", "depth=1:4", "width=16,32", "negatives"]
    space = parse_space(words, DEFAULTS)
    again = [f"{name}={word}" for name, word in space_words(space).items()]
    assert parse_space(again, DEFAULTS) == space


def test_the_edges_of_a_range_are_its_ends_and_of_a_choice_all_values() -> None:
    space = parse_space(["depth=1:4", "width=16,32,64"], DEFAULTS)
    assert edges(space["depth"]) == (1, 4)
    assert edges(space["width"]) == (16, 32, 64)
