from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from raymm.report.statistics import holm, interval, mean_height, mean_std, paired_p

NAN = math.nan


def test_mean_and_std_with_ddof_one() -> None:
    assert mean_std([1.0, 3.0]) == pytest.approx((2, math.sqrt(2)))


@pytest.mark.parametrize("values", [[], [2.0]])
def test_too_few_values_have_no_spread(values: list[float]) -> None:
    mean, std = mean_std(values)
    assert math.isnan(std) and math.isnan(mean) == (not values)
    assert all(math.isnan(bound) for bound in interval(values))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_interval_is_scipys_student_interval(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n).tolist()
    expected = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
    assert interval(values) == pytest.approx(expected)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(size=(2000, 3))
    covered = [low <= 0 <= high for low, high in map(interval, samples.tolist())]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_paired_p_is_scipys() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 5))
    assert paired_p((a - b).tolist()) == pytest.approx(stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize("differences", [[], [1.0], [1.0, 1.1], [0.1, 0.1, 0.1]])
def test_no_test_is_possible(differences: list[float]) -> None:
    assert math.isnan(paired_p(differences))


def test_no_difference_at_all_is_no_evidence() -> None:
    assert paired_p([0.0, 0.0, 0.0]) == 1


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04], [0.04]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([NAN, 0.02, 0.01], [NAN, 0.02, 0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], corrected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(corrected, nan_ok=True)


def test_mean_height_of_a_triangle_in_any_order() -> None:
    assert mean_height([0.4, 0.0, 0.2], [0.0, 0.0, 1.0]) == pytest.approx(0.5)


def test_mean_height_weighs_points_by_their_distance() -> None:
    assert mean_height([0.0, 0.1, 0.5], [1.0, 1.0, 3.0]) == pytest.approx((0.1 + 0.8) / 0.5)


def test_mean_height_needs_two_points() -> None:
    assert math.isnan(mean_height([0.2], [1.0])) and math.isnan(mean_height([0, 1], [1, NAN]))
