"""Ridge regression between encoders, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from raymm.errors import DataError
from raymm.metrics.ridge import PENALTIES, align, fit_maps

RNG = np.random.default_rng(0)


def test_each_map_is_that_of_sklearn() -> None:
    x, y, new = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 3)), RNG.normal(size=(5, 6))
    maps = list(fit_maps(x, y))
    assert len(maps) == len(PENALTIES)
    for found in maps:
        wanted = Ridge(alpha=found.penalty).fit(normalize(x), normalize(y)).predict(normalize(new))
        np.testing.assert_allclose(found(new), wanted, atol=1e-8)


def test_a_rotation_is_found_and_noise_asks_for_a_larger_penalty() -> None:
    rotation = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    x = RNG.normal(size=(60, 5))
    exact = align((x[:40], x[:40] @ rotation), (x[40:], x[40:] @ rotation))
    cosines = normalize(exact.queries(x[40:])) @ normalize(exact.gallery(x[40:] @ rotation)).T
    assert (cosines.argmax(axis=1) == np.arange(20)).all()
    noisy = x + RNG.normal(size=x.shape)
    penalty = align((noisy[:40], x[:40] @ rotation), (noisy[40:], x[40:] @ rotation)).map.penalty
    assert penalty > exact.map.penalty


def test_one_sample_is_not_enough() -> None:
    with pytest.raises(DataError, match="not 1"):
        next(fit_maps(np.ones((1, 2)), np.ones((1, 2))))
