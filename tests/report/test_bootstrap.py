"""The bootstrap holds what it says: coverage by simulation, and nothing where nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from raymm.report.bootstrap import SEEDS_TO_RESAMPLE, paired_bootstrap, resample_weights
from raymm.report.statistics import interval

Floats = NDArray[np.float64]
TRUTH = 0.3


def study(seeds: int, samples: int, generator: np.random.Generator) -> Floats:
    """Paired differences (seeds, samples) with effects of seed, of sample, and of both."""
    of_seed = generator.normal(size=(seeds, 1)) * 0.1
    of_sample = generator.normal(size=(1, samples)) * 2
    both = generator.normal(size=(seeds, samples))
    return np.asarray(TRUTH + of_seed + of_sample + both)


def resampled(differences: Floats, rounds: int, generator: np.random.Generator) -> Floats:
    weights = resample_weights(differences.shape[1], rounds, generator)
    return weights @ differences.T / differences.shape[1]


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_the_interval_covers_other_seeds_and_samples(seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    held = student = 0
    for _ in range(300):
        differences = study(seeds, 100, generator)
        observed = differences.mean(axis=1)
        found = paired_bootstrap(observed, resampled(differences, 200, generator), generator)
        held += found.low <= TRUTH <= found.high
        low, high = interval(observed.tolist())
        student += low <= TRUTH <= high
    assert 0.91 <= held / 300 <= 0.995
    # Student's over seeds takes the test samples as given, which here is half of the truth.
    assert student / 300 < held / 300 - 0.02


def test_p_and_interval_agree_on_zero() -> None:
    generator = np.random.default_rng(0)
    for seeds in (4, 11):
        for shift in np.linspace(-1.5, 1, 12):
            differences = study(seeds, 60, generator) + shift
            found = paired_bootstrap(
                differences.mean(axis=1), resampled(differences, 400, generator), generator
            )
            outside = not found.low <= 0 <= found.high
            assert outside == (found.p < 0.05) or abs(found.p - 0.05) < 0.01


def test_without_spread_over_samples_it_is_students_interval() -> None:
    observed = np.array([0.2, 0.5, 0.3, 0.45])
    found = paired_bootstrap(observed, np.tile(observed, (150, 1)), np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx(interval(observed.tolist()), abs=1e-6)
    assert found.p == pytest.approx(stats.ttest_1samp(observed, 0).pvalue, rel=1e-6)


def test_equal_seeds_leave_the_percentiles_of_the_samples() -> None:
    observed = np.full(3, 0.4)
    means = np.random.default_rng(0).normal(0.4, 0.1, size=(500, 1))
    found = paired_bootstrap(observed, np.repeat(means, 3, axis=1), np.random.default_rng(0))
    centred = means - means.mean() + 0.4
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(centred, (0.025, 0.975))))
    # No resample is below 0: the tail is that of a normal distribution as wide.
    assert found.p == pytest.approx(2 * stats.norm.cdf(-0.4 / means.std(ddof=1)))
    same = paired_bootstrap(observed, np.full((500, 3), 0.4), np.random.default_rng(0))
    assert same.p == pytest.approx(2 * 0.5 / 501)  # what so many rounds can show; never 0


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_say_nothing(seeds: int) -> None:
    generator = np.random.default_rng(0)
    observed = generator.normal(size=seeds)
    found = paired_bootstrap(observed, np.tile(observed, (200, 1)), generator)
    assert math.isnan(found.p) and math.isnan(found.low) and found.over == ""


def test_without_samples_there_must_be_seeds_enough_to_resample() -> None:
    generator = np.random.default_rng(0)
    few, many = generator.normal(size=5), generator.normal(size=SEEDS_TO_RESAMPLE)
    assert paired_bootstrap(few, None, generator).over == ""
    found = paired_bootstrap(many, None, generator)
    assert found.over == "seeds"
    assert (found.low, found.high) == pytest.approx(interval(many.tolist()), abs=0.3)


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_a_clear_difference_survives_the_correction_for_thirty_tests(seeds: int) -> None:
    """Four models at five sparsities are thirty tests: what rounds alone can show would not do."""
    generator = np.random.default_rng(seeds)
    of_sample = generator.normal(size=(1, 300))
    differences = 1.0 + of_sample + 0.01 * generator.normal(size=(seeds, 300))
    found = paired_bootstrap(
        differences.mean(axis=1), resampled(differences, 500, generator), generator
    )
    assert 0 < found.p < 0.05 / 30


@pytest.mark.parametrize("seeds", [5, 12])
def test_small_p_values_are_as_rare_as_they_say(seeds: int) -> None:
    generator, studies = np.random.default_rng(seeds), 500
    p = []
    for _ in range(studies):
        differences = study(seeds, 100, generator) - TRUTH
        draws = resampled(differences, 200, generator)
        p.append(paired_bootstrap(differences.mean(axis=1), draws, generator).p)
    for level in (0.05, 0.01):
        # Beyond that would be chance once in a thousand.
        assert (np.array(p) < level).sum() <= stats.binom.isf(1e-3, studies, 1.3 * level)
