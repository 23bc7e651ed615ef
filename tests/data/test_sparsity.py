from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raymm.data.hashing import uniforms
from raymm.data.sources import load_dataset
from raymm.data.sparsity import apply, dropped
from raymm.errors import ConfigError

IDS = np.array([f"s{number}" for number in range(4000)])
NAMES = ("a", "b", "c")


def test_uniforms_are_uniform_and_independent() -> None:
    one, other = uniforms(IDS, "x", 0), uniforms(IDS, "x", 1)
    assert one.min() >= 0 and one.max() < 1
    assert stats.kstest(one, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_uniforms_never_change() -> None:
    """Masks and splits of every recorded result hang on these numbers."""
    digest = hashlib.blake2b(b"('sparsity', 0, 'fou')0007", digest_size=8).digest()
    expected = (int.from_bytes(digest, "big") >> 11) * 2.0**-53
    assert uniforms(["0007"], "sparsity", 0, "fou").tolist() == [expected]
    assert expected == 0.08005930367331882


@given(st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 5))
def test_masks_are_nested(one: float, other: float, seed: int) -> None:
    low, high = (dropped(IDS[:50], NAMES, value, seed) for value in sorted([one, other]))
    assert (high | ~low).all()


def test_the_share_dropped_is_the_sparsity_and_modalities_are_independent() -> None:
    for sparsity in (0.0, 0.2, 0.8):
        mask = dropped(IDS, NAMES, sparsity, seed=0)
        assert mask.mean(axis=0) == pytest.approx([sparsity] * 3, abs=0.03)
        for one, other in itertools.combinations(range(3), 2):
            both = (mask[:, one] & mask[:, other]).mean()
            assert both == pytest.approx(sparsity**2, abs=0.03)


def test_masks_are_keyed_by_id_modality_and_seed() -> None:
    mask = dropped(IDS, NAMES, 0.5, seed=0)
    some = np.array([3, 17, 900])
    np.testing.assert_array_equal(dropped(IDS[some], ("c", "a"), 0.5, 0), mask[some][:, [2, 0]])
    assert (dropped(IDS, NAMES, 0.5, seed=1) != mask).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_out_of_range(sparsity: float) -> None:
    with pytest.raises(ConfigError, match=r"sparsity = .* Give a number in \[0, 1\)"):
        dropped(IDS, NAMES, sparsity, 0)


def test_apply_keeps_natural_holes() -> None:
    digits = load_dataset("digits")
    left = apply(digits, 0.8, seed=0)
    assert 1 - left.mean() == pytest.approx(0.8, abs=0.01)
    # The design's figure for four modalities: 0.8 becomes 0.66 once empty samples are dropped.
    assert 1 - left[left.any(axis=1)].mean() == pytest.approx(0.66, abs=0.01)
