"""A paired bootstrap over seeds and over test samples, where it can be right.

Student's interval over seeds (`raymm.report.statistics`) speaks of other seeds on the same test
samples. Whether a difference would be there on other samples as well is asked here: test samples are
drawn anew with replacement, the same for both models, for all seeds and for all sparsities.

Seeds are few. The mean of n values resampled cannot leave their range, which covers the true mean in
1 - 2^(1 - n) of cases at best: 75 % for three seeds, 94 % for five. So up to `SEEDS_TO_RESAMPLE`
seeds are not resampled; their spread enters by Student's t. From there on seeds are resampled along
with samples, and the quantiles are set out for what a resample of n values lacks in spread
(Hesterberg 2015, "What teachers should know about the bootstrap": expanded percentile interval).
`python -m benchmarks.coverage` counts how often each kind of interval holds what it should, in
made-up studies of 300 samples. Where seeds differ most, 95 % intervals by percentiles of resampled
seeds and samples hold the truth in 76, 86, 92 and 92 % of studies of 3, 5, 10 and 20 seeds; these in
94, 96, 95 and 95 %. Where samples differ most, Student's interval over seeds, which takes the test
samples as given, holds what is true of other samples in 83, 67, 46 and 38 %; these in 98, 95, 97 and
96 %.

Of so many resamples a share below 1 % is known badly, and one below 1 / `ROUNDS` not at all, yet
Holm's correction of 30 pairs and sparsities asks for p values below 0.05 / 30. So a tail in which fewer
than `FEWEST_IN_TAIL` resamples lie is that of normal resamples of the same spread, if that is more than
what was counted: differences are means over many samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from raymm.report.statistics import FEWEST_SEEDS, LEVEL

SEEDS_TO_RESAMPLE = 10
"""Seeds from which on they are resampled: below, a resample's range alone undoes the level."""
ROUNDS = 500
"""Resamples, unless there is too much to compute."""
FEWEST_IN_TAIL = 10
"""Resamples beyond 0 that tell how large a tail is, to a third of it."""
SMALLEST = 1e-12
"""Half of the smallest p value that is told."""

Floats = NDArray[np.float64]
Over = Literal["samples; seeds by Student's t", "seeds and samples", "seeds", ""]


@dataclass(frozen=True)
class Bootstrap:
    """What a paired bootstrap says of a mean difference.

    Attributes:
        low, high: the 95 % interval.
        p: two-sided, that the difference is 0.
        over: what was resampled; empty, with nan for the rest, where no bootstrap can be right.
    """

    low: float
    high: float
    p: float
    over: Over


IMPOSSIBLE = Bootstrap(math.nan, math.nan, math.nan, "")


def resample_weights(
    count: int, rounds: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """How often each of `count` samples is drawn in each resample of as many: (rounds, count)."""
    weights = np.empty((rounds, count), dtype=np.float32)
    for row in weights:
        row[:] = np.bincount(generator.integers(count, size=count), minlength=count)
    return weights


def paired_bootstrap(
    observed: Floats, resampled: Floats | None, generator: np.random.Generator
) -> Bootstrap:
    """Interval and p value of the mean over seeds of a paired difference.

    Args:
        observed: (n,) difference of each seed on the test split as it is.
        resampled: (rounds, n) the same on resamples of the test split; None where the samples'
            figures are not there.
        generator: draws seeds, if they are drawn.

    Returns:
        `IMPOSSIBLE` with fewer than `FEWEST_SEEDS` seeds, and where neither samples are there nor
        enough seeds to resample.
    """
    seeds = len(observed)
    if resampled is not None:
        resampled = resampled[np.isfinite(resampled).all(axis=1)]
    have_samples = resampled is not None and len(resampled) >= ROUNDS // 10
    if resampled is not None:
        # Samples drawn twice raise an average precision: the spread is right, the centre is not.
        resampled = resampled - resampled.mean(axis=0) + observed
    if seeds < FEWEST_SEEDS or (seeds < SEEDS_TO_RESAMPLE and not have_samples):
        return IMPOSSIBLE
    if seeds < SEEDS_TO_RESAMPLE:
        assert resampled is not None
        spread = float(np.std(observed, ddof=1))
        equal = spread <= 1e-12 * float(np.abs(observed).max())
        error = 0.0 if equal else spread / math.sqrt(seeds)
        return _with_student(resampled.mean(axis=1), error, seeds - 1)
    draws = resampled if resampled is not None and have_samples else np.tile(observed, (ROUNDS, 1))
    weights = resample_weights(seeds, len(draws), generator)
    means = (draws * weights).sum(axis=1) / seeds
    return _expanded(means, seeds, "seeds and samples" if have_samples else "seeds")


def seeds_interval(values: Sequence[float], weights: NDArray[np.float32]) -> tuple[float, float]:
    """Bootstrap interval (95 %) of the mean over seeds; (nan, nan) with too few to be resampled.

    Args:
        values: (n,) a metric of each seed.
        weights: (rounds, n) as of `resample_weights`.
    """
    seeds = len(values)
    if seeds < SEEDS_TO_RESAMPLE:
        return math.nan, math.nan
    found = _expanded(weights @ np.asarray(values, dtype=np.float64) / seeds, seeds, "seeds")
    return found.low, found.high


def _with_student(means: Floats, error: float, freedom: int) -> Bootstrap:
    """Of the sum of a resampled mean and an independent Student's t times the seeds' error."""
    tail = (1 - LEVEL) / 2
    over: Over = "samples; seeds by Student's t"
    centre, spread = float(means.mean()), float(means.std(ddof=1))
    if error == 0:
        low, high = (float(q) for q in np.quantile(means, (tail, 1 - tail)))
        below, above = float((means <= 0).mean()), float((means >= 0).mean())
        smooth = _normal_below(centre, spread)
    else:

        def below_x(x: float) -> float:
            return float(stats.t.cdf((x - means) / error, freedom).mean())

        reach = error * float(stats.t.isf(tail / 4, freedom))
        first, last = float(means.min()) - reach, float(means.max()) + reach
        low = float(brentq(lambda x: below_x(x) - tail, first, last))
        high = float(brentq(lambda x: below_x(x) - (1 - tail), first, last))
        below = below_x(0.0)
        above = 1 - below
        smooth = _normal_and_t_below(centre, spread, error, freedom)
    return Bootstrap(low, high, _two_sided(below, above, smooth, len(means)), over)


def _expanded(means: Floats, seeds: int, over: Over) -> Bootstrap:
    """Percentiles as far out as Student's t and the missing spread of a resample ask for."""
    widen = math.sqrt(seeds / (seeds - 1))
    out = widen * float(stats.t.isf((1 - LEVEL) / 2, seeds - 1))
    tail = float(stats.norm.sf(out))
    low, high = (float(q) for q in np.quantile(means, (tail, 1 - tail)))
    # The same the other way round: how far out 0 lies among the resamples, as a Student's t.
    smooth = _normal_below(float(means.mean()), float(means.std(ddof=1)))
    below, above = float((means <= 0).mean()), float((means >= 0).mean())
    t = float(stats.norm.isf(_two_sided(below, above, smooth, len(means)) / 2)) / widen
    return Bootstrap(low, high, min(1.0, 2 * float(stats.t.sf(t, seeds - 1))), over)


def _normal_below(centre: float, spread: float) -> float:
    """Share of normal values that lie below 0; what `ROUNDS` can show if they are all the same."""
    if spread > 0:
        return float(stats.norm.cdf(-centre / spread))
    unseen = 0.5 / (ROUNDS + 1)
    return unseen if centre > 0 else 1 - unseen if centre < 0 else 0.5


def _normal_and_t_below(centre: float, spread: float, error: float, freedom: int) -> float:
    """The same of a normal value plus an independent Student's t times `error`."""
    at = np.linspace(-8.0, 8.0, 801)
    density = stats.norm.pdf(at)
    below = stats.t.cdf(-(centre + spread * at) / error, freedom)
    return float(density @ below / density.sum())


def _two_sided(below: float, above: float, smooth_below: float, rounds: int) -> float:
    """Twice the smaller tail; never 0, which no number of rounds can show."""
    smaller = min(_tail(below, smooth_below, rounds), _tail(above, 1 - smooth_below, rounds))
    return min(1.0, 2 * max(smaller, SMALLEST))


def _tail(share: float, smooth: float, rounds: int) -> float:
    """A tail's share, where too few resamples lie in it that of the smooth distribution."""
    enough = FEWEST_IN_TAIL / rounds
    return share if share >= enough else min(enough, max(share, smooth))
