from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.report.page.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, thinned, ticks

SIZES = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=SIZES, size=st.floats(1e-3, 1e6))
def test_ticks_are_few_round_even_and_inside(low: float, size: float) -> None:
    found = ticks(low, low + size)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 * size <= tick <= low + size * (1 + 1e-6) for tick in found)
    steps = {round((b - a) / size, 6) for a, b in pairwise(found)}
    assert len(steps) <= 2  # one, but for the rounding of large numbers


def test_ticks_of_nothing() -> None:
    assert ticks(3.0, 3.0) == [3.0]
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_corners_of_the_data_are_corners_of_the_picture() -> None:
    axes = Axes((0.0, 0.8), (1.0, 3.0), "x")
    assert axes.at(0.0, 1.0) == (LEFT, HEIGHT - BOTTOM)
    assert axes.at(0.8, 3.0) == (WIDTH - RIGHT, TOP)
    assert axes.line([(0.0, 1.0), (0.8, 3.0)]) == f"M50 {HEIGHT - BOTTOM:g}L{WIDTH - RIGHT:g} 44"
    assert axes.band([(0.0, 1.0, 3.0), (0.8, 1.0, 3.0)]).count("L") == 3


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (6, 6), (7, 4), (20, 5)])
def test_labels_are_thinned_evenly(count: int, shown: int) -> None:
    assert len(thinned([float(i) for i in range(count)])) == shown
