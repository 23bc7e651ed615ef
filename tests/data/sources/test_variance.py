"""Variance in parts, and the most variable features, against numpy on the whole table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.sources.variance import MostVariable, Spread


def table(rows: int, columns: int, seed: int, offset: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed)
    values = noise.normal(size=(rows, columns)) * noise.uniform(0.1, 3, size=columns) + offset
    values[noise.random(values.shape) < 0.2] = np.nan
    return values


def in_parts(values: np.ndarray, cuts: list[int]) -> Spread:
    spread = Spread.of(values[:0])
    for part in np.split(values, sorted(cuts)):
        spread = spread.with_more(Spread.of(part))
    return spread


@given(
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    offset=st.sampled_from([0.0, 1e6, -1e9]),
)
@settings(deadline=None, max_examples=40)
def test_parts_give_the_variance_of_the_whole(seed: int, cuts: list[int], offset: float) -> None:
    values = table(60, 5, seed, offset)
    spread = in_parts(values, cuts)
    expected = np.nanvar(values - offset, axis=0, ddof=1)
    # At an offset of 1e9 the values themselves are rounded to 1e-7.
    assert np.allclose(spread.variance(), expected, rtol=1e-4 if offset else 1e-10)
    assert (spread.count == (~np.isnan(values)).sum(axis=0)).all()


def test_the_textbook_formula_would_fail_where_this_does_not() -> None:
    values = table(500, 3, 1, 1e9)
    present = np.where(np.isnan(values), 0, values)
    count = (~np.isnan(values)).sum(axis=0)
    naive = ((present**2).sum(axis=0) - present.sum(axis=0) ** 2 / count) / (count - 1)
    expected = np.nanvar(values - 1e9, axis=0, ddof=1)
    ours = in_parts(values, [100, 200, 300]).variance()
    assert np.allclose(ours, expected, rtol=1e-6)
    assert not np.allclose(naive, expected, rtol=1e-1)


def test_features_without_values_or_with_one_have_no_variance() -> None:
    spread = Spread.of(np.array([[np.nan, 1.0], [np.nan, np.nan]]))
    assert spread.variance().tolist() == [0, 0]
    assert spread.count.tolist() == [0, 1]


@pytest.mark.parametrize("keep", [1, 3, 10, None])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_most_variable_are_those_of_the_whole_table(keep: int | None, block: int) -> None:
    values = table(40, 12, 3).T  # 12 features of 40 samples
    names = [f"f{number:02d}" for number in np.random.default_rng(0).permutation(12)]
    chosen = MostVariable(keep, 40)
    for start in range(0, 12, block):
        chosen.add(names[start : start + block], values[start : start + block])
    features, kept = chosen.finish()
    variance = np.nanvar(values, axis=1, ddof=1)
    best = sorted(names[row] for row in np.argsort(-variance)[:keep])
    assert features == best
    expected = np.stack([values[names.index(name)] for name in best], axis=1)
    assert np.array_equal(kept, expected.astype(np.float32), equal_nan=True)


def test_memory_does_not_grow_with_the_features_that_go_by() -> None:
    chosen = MostVariable(5, 3)
    for number in range(1000):
        chosen.add([f"f{number}"], np.array([[0.0, 0.0, float(number)]]))
        assert len(chosen.names) <= 10
    assert chosen.finish()[0] == ["f995", "f996", "f997", "f998", "f999"]


def test_ties_go_by_name_and_of_one_name_the_most_variable_counts() -> None:
    chosen = MostVariable(2, 2)
    chosen.add(["c", "a", "b"], np.array([[0.0, 1.0]] * 3))
    assert chosen.finish()[0] == ["a", "b"]
    twice = MostVariable(None, 2)
    twice.add(["a", "a", "b"], np.array([[0.0, 1.0], [0.0, 5.0], [0.0, 2.0]]))
    features, values = twice.finish()
    assert features == ["a", "b"]
    assert values.tolist() == [[0, 0], [5, 2]]
    assert twice.repeated == 1
