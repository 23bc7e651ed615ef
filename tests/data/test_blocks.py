from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from raymm.data.blocks import like_lengths, padded_index

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=60).map(
    lambda lengths: np.array(lengths, dtype=np.int64)
)


@given(LENGTHS)
def test_every_row_is_in_one_group_with_at_most_a_tenth_padding(
    lengths: NDArray[np.int64],
) -> None:
    groups = list(like_lengths(lengths))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        tokens = len(group) * lengths[group].max()
        assert 10 * (tokens - lengths[group].sum()) <= tokens
        assert lengths[group][0] == lengths[group].max()


@given(LENGTHS)
def test_no_group_could_have_taken_the_next_row(
    lengths: NDArray[np.int64],
) -> None:
    groups = list(like_lengths(lengths))
    for group, following in itertools.pairwise(groups):
        more = [*lengths[group].tolist(), int(lengths[following[0]])]
        tokens = len(more) * max(more)
        assert 10 * (tokens - sum(more)) > tokens


def test_equal_lengths_are_one_group() -> None:
    assert [len(group) for group in like_lengths(np.full(7, 3))] == [7]


@given(LENGTHS)
def test_padded_index_finds_every_token(
    lengths: NDArray[np.int64],
) -> None:
    starts = np.cumsum(lengths) - lengths
    index, padding = padded_index(starts, lengths)
    assert index.shape == (len(lengths), lengths.max())
    np.testing.assert_array_equal(index[~padding], np.arange(lengths.sum()))
    assert index.max() < lengths.sum()
