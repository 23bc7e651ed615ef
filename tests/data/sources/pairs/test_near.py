"""Blocked search of near captions, against all pairs at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.near import caption_pairs, near_pairs
from raymm.errors import ConfigError, DataError


def all_at_once(
    vectors: NDArray[np.float32], threshold: float, per_row: int
) -> set[tuple[int, ...]]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = (unit @ unit.T).astype(np.float64)
    np.fill_diagonal(cosine, -1)
    pairs = set()
    for row, scores in enumerate(cosine):
        for other in np.argsort(-scores)[:per_row]:
            if scores[other] > threshold:
                pairs.add(tuple(sorted((row, int(other)))))
    return pairs


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 40), block=st.integers(1, 45), per_row=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.5, 0.7]), seed=st.integers(0, 100),
)  # fmt: skip
def test_against_all_pairs_at_once(
    count: int, block: int, per_row: int, threshold: float, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    found = near_pairs(vectors, threshold=threshold, per_row=per_row, block=block)
    assert {tuple(pair) for pair in found.tolist()} == all_at_once(vectors, threshold, per_row)
    assert (found[:, 0] < found[:, 1]).all()


def test_above_the_threshold_is_not_at_it() -> None:
    """A row keeps up to three others; 58 are at the threshold exactly, one is above it."""
    vectors = np.eye(60, dtype=np.float32)
    vectors[1] = vectors[0]
    assert near_pairs(vectors, threshold=0.0, per_row=3).tolist() == [[0, 1]]


def test_memory_stays_at_a_few_blocks() -> None:
    """All pairs of 6,000 rows would be 144 MB."""
    import tracemalloc

    vectors = np.random.default_rng(0).normal(size=(6000, 8)).astype(np.float32)
    tracemalloc.start()
    near_pairs(vectors, threshold=0.7, block=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15e6


def test_caption_pairs() -> None:
    texts = ["a dog runs", "a running dog", "a red car", "the dog is running"]
    captions = build("coco", ["1#0", "1#1", "2#0", "3#0"], {"text": Column("text", texts)})
    vectors = np.array([[1, 0], [0.9, 0.1], [-1, 1], [0.9, 0.12]], dtype=np.float32)
    pairs = caption_pairs(captions, vectors)
    assert pairs.ids.tolist() == ["1#0~1.1", "1#1~3.0"]
    assert pairs.of("text_a").values == ["a dog runs", "a running dog"]
    assert pairs.of("text_b").values == ["a running dog", "the dog is running"]
    assert pairs.groups is not None and pairs.groups.tolist() == ["1", "1"]


def test_what_is_refused() -> None:
    captions = build("coco", ["1", "2"], {"text": Column("text", ["a", "b"])})
    with pytest.raises(DataError, match=r"no two captions have a cosine above 0\.7"):
        caption_pairs(captions, np.eye(2, dtype=np.float32))
    with pytest.raises(DataError, match="2 texts, but 3 vectors"):
        caption_pairs(captions, np.eye(3, dtype=np.float32))
    with pytest.raises(ConfigError, match=r"threshold = 1\.2"):
        near_pairs(np.eye(2, dtype=np.float32), threshold=1.2)
