"""How often intervals hold what they should: `python -m benchmarks.coverage`.

Made-up studies: paired differences of two models for some seeds and 300 test samples, with normal
effects of the seed, of the sample and of both, around a true difference. An interval is right if 95 %
of studies have the truth in it. The truth is that of other seeds and other samples, except in the first
column, where samples are the same in all studies: that is what Student's interval over seeds claims.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raymm.report.bootstrap import paired_bootstrap, resample_weights
from raymm.report.statistics import interval

Floats = NDArray[np.float64]
Interval = Callable[[Floats, np.random.Generator], tuple[float, float]]
TRUTH, SAMPLES, ROUNDS = 0.3, 300, 400
SEEDS = (3, 5, 10, 20)
SPREADS = {"Samples differ most": (0.1, 2.0, 1.0), "Seeds differ most": (1.0, 2.0, 1.0)}
"""Standard deviations of the effects of the seed, of the sample, and of both."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    columns: dict[str, tuple[Interval, bool]] = {
        "t over seeds, same samples": (student, False),
        "t over seeds": (student, True),
        "percentiles, seeds resampled": (seeds_percentile, True),
        "percentiles, seeds and samples resampled": (both_percentile, True),
        "ours": (ours, True),
    }
    error = 100 * math.sqrt(0.95 * 0.05 / studies)
    print(f"Coverage in % of 95 % intervals, {studies} studies (standard error {error:.1f})")
    for title, spreads in SPREADS.items():
        print(f"\n{title}.\n")
        print(f"| seeds | {' | '.join(columns)} |\n| ---: |{' ---: |' * len(columns)}")
        for seeds in SEEDS:
            shares = [covered(seeds, studies, spreads, *column) for column in columns.values()]
            shown = " | ".join(f"{100 * share:.0f}" for share in shares)
            print(f"| {seeds} | {shown} |", flush=True)


def covered(
    seeds: int, studies: int, spreads: tuple[float, float, float], of: Interval, other_samples: bool
) -> float:
    """Share of studies whose interval has the truth in it."""
    generator = np.random.default_rng(seeds)
    seed_spread, sample_spread, both_spread = spreads
    held = 0
    for _ in range(studies):
        of_sample = sample_spread * generator.normal(size=(1, SAMPLES))
        of_seed = seed_spread * generator.normal(size=(seeds, 1))
        both = both_spread * generator.normal(size=(seeds, SAMPLES))
        truth = TRUTH + (0.0 if other_samples else float(of_sample.mean()))
        low, high = of(np.asarray(TRUTH + of_seed + of_sample + both), generator)
        held += low <= truth <= high
    return held / studies


def student(differences: Floats, generator: np.random.Generator) -> tuple[float, float]:
    """Student's over seeds."""
    return interval(differences.mean(axis=1).tolist())


def seeds_percentile(differences: Floats, generator: np.random.Generator) -> tuple[float, float]:
    """Percentiles of the mean of resampled seeds."""
    observed = differences.mean(axis=1)
    weights = resample_weights(len(observed), ROUNDS, generator)
    return percentiles(weights @ observed / len(observed))


def both_percentile(differences: Floats, generator: np.random.Generator) -> tuple[float, float]:
    """Percentiles of the mean of resampled seeds and samples."""
    seeds = resample_weights(len(differences), ROUNDS, generator)
    return percentiles((resampled(differences, generator) * seeds).mean(axis=1))


def ours(differences: Floats, generator: np.random.Generator) -> tuple[float, float]:
    """What the report prints."""
    draws = resampled(differences, generator)
    found = paired_bootstrap(differences.mean(axis=1), draws, generator)
    return found.low, found.high


def resampled(differences: Floats, generator: np.random.Generator) -> Floats:
    """(rounds, seeds) each seed's difference on resampled test samples."""
    weights = resample_weights(differences.shape[1], ROUNDS, generator)
    return weights @ differences.T / differences.shape[1]


def percentiles(means: Floats) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    main()
