"""Retrieval with several matches a query, against a slow version."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raymm.errors import DataError
from raymm.metrics.matching import HIT_RATES, hit_rates, match_ranks, matching_metrics
from raymm.metrics.retrieval import ranks


def slow_rank(cosines: Tensor, match: Tensor) -> float:
    """By hand: rows of other groups above the best match, and half of those that tie with it."""
    best = cosines[match].max()
    others = cosines[~match]
    return float((others > best).sum() + (others == best).sum() / 2 + 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_best_match_against_a_loop(seed: int, groups: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    # few different vectors, of length 1 or 2: many ties
    values = torch.from_numpy(rng.integers(0, 2, (groups * 3, width)).astype(np.float32))
    queries = torch.from_numpy(rng.integers(0, 2, (groups, width)).astype(np.float32))
    query_groups = rng.permutation(groups)
    gallery_groups = rng.permutation(np.arange(groups * 3) % groups)
    got = match_ranks(queries, values, query_groups, gallery_groups)
    unit = torch.nn.functional.normalize
    cosines = (unit(queries.double(), dim=1) @ unit(values.double(), dim=1).T).float()
    wanted = [
        slow_rank(row, torch.from_numpy(gallery_groups == group))
        for row, group in zip(cosines, query_groups, strict=True)
    ]
    np.testing.assert_allclose(got.numpy(), wanted)


def test_with_one_match_each_it_is_the_plain_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(2, 30, 5, generator=generator)
    order = torch.randperm(30, generator=generator)
    got = match_ranks(queries, gallery[order], np.arange(30), order.numpy())
    torch.testing.assert_close(got, ranks(queries, gallery, torch.arange(30)))


def test_a_query_without_a_match_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 2 queries have no match .* query 1, of group 7"):
        match_ranks(torch.eye(2), torch.eye(2), np.array([0, 7]), np.array([0, 1]))


def test_metrics_of_ranks() -> None:
    metrics = matching_metrics(torch.tensor([1.0, 3, 8, 40]), 50, "image_to_text")
    assert metrics == {
        "retrieval/image_to_text_recall_at_1": 0.25,
        "retrieval/image_to_text_recall_at_5": 0.5,
        "retrieval/image_to_text_recall_at_10": 0.75,
        "retrieval/image_to_text_median_rank": 5.5,
        "retrieval/image_to_text_gallery": 50,
    }


def test_hit_rates_run_from_100_to_10_000_within_the_gallery() -> None:
    assert (HIT_RATES[0], HIT_RATES[-1]) == (100, 10_000)
    rates = hit_rates(torch.tensor([100.0, 101, 300]), 300)
    assert rates == {100: pytest.approx(1 / 3), 200: pytest.approx(2 / 3)}
