from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.retrieval import RetrievalHitRate

from raymm.errors import TrainingError
from raymm.metrics.retrieval import median_rank, ranks, recall_at


def embeddings(n: int, d: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def naive_ranks(queries: Tensor, gallery: Tensor, targets: Tensor) -> list[float]:
    q = queries.double().numpy()
    g = gallery.double().numpy()
    cosines = (q @ g.T) / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(g, axis=1)
    return [
        float(rankdata(-row.round(12), method="average")[target])
        for row, target in zip(cosines, targets.tolist(), strict=True)
    ]


@pytest.mark.parametrize("block_elements", [1, 29, 30, 100, 2**24])
def test_ranks_equal_scipy_whatever_the_block(block_elements: int) -> None:
    queries, gallery = embeddings(23), embeddings(29, seed=1)
    targets = torch.randperm(29, generator=torch.Generator().manual_seed(2))[:23]
    found = ranks(queries, gallery, targets, block_elements=block_elements)
    assert found.dtype == torch.float64
    assert found.tolist() == naive_ranks(queries, gallery, targets)


@pytest.mark.parametrize(("d", "noise"), [(16, 1.0), (512, 1.0), (64, 1e-7), (64, 0.0)])
def test_no_rank_differs_from_those_in_double_precision(d: int, noise: float) -> None:
    # The noise of 1e-7 puts whole crowds within float32's rounding of the target.
    gallery = embeddings(1, d) + embeddings(3000, d, seed=1) if noise == 1 else None
    if gallery is None:
        gallery = embeddings(30, d).repeat(40, 1) * (1 + noise * embeddings(1200, d, seed=2))
    targets = torch.arange(len(gallery))[::3]
    queries = gallery[targets] + noise * embeddings(len(targets), d, seed=3)
    q, g = (torch.nn.functional.normalize(x.double()) for x in (queries, gallery))
    cosines = (q @ g.T).float()
    own = cosines.gather(1, targets[:, None])
    expected = (cosines > own).sum(1) + ((cosines == own).sum(1) + 1) / 2
    found = ranks(queries, gallery, targets, block_elements=2**16)
    assert (found != expected).float().mean() < 1e-3


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_ties_have_their_mean_rank_as_in_scipy(n: int, size: int, seed: int) -> None:
    # Few directions at many lengths: most cosines tie.
    generator = torch.Generator().manual_seed(seed)
    directions = torch.tensor([[1.0, 0, 0], [1, 1, 0], [-1, 2, 0.5]])

    def pick(count: int) -> Tensor:
        which = torch.randint(3, (count,), generator=generator)
        return directions[which] * (torch.rand(count, 1, generator=generator) + 0.1)

    queries, gallery = pick(n), pick(size)
    targets = torch.randint(size, (n,), generator=generator)
    assert ranks(queries, gallery, targets).tolist() == naive_ranks(queries, gallery, targets)


@pytest.mark.parametrize("size", [1, 2, 37, 1001])
@pytest.mark.parametrize("d", [3, 37])
def test_a_collapsed_model_stands_at_chance(size: int, d: int) -> None:
    same = embeddings(1, d).expand(size, d).contiguous()
    found = ranks(same, same, torch.arange(size))
    assert found.tolist() == [(size + 1) / 2] * size


def test_a_duplicate_of_the_target_ties_with_it() -> None:
    gallery = embeddings(200, 33)
    gallery[150] = gallery[7] * 4
    found = ranks(gallery[[7, 150, 8]], gallery, torch.tensor([7, 150, 8]))
    assert found.tolist() == [1.5, 1.5, 1]


def test_a_perfect_model_has_rank_one_and_a_reversed_one_the_last() -> None:
    x = embeddings(50)
    assert ranks(x * 3, x, torch.arange(50)).tolist() == [1] * 50
    assert ranks(-x, x, torch.arange(50)).tolist() == [50] * 50


def test_ranks_of_no_queries_are_none() -> None:
    assert ranks(torch.ones(0, 3), torch.ones(4, 3), torch.empty(0, dtype=torch.int64)).shape == (
        0,
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_embeddings_that_are_not_finite_have_no_rank(bad: float) -> None:
    broken = embeddings(4)
    broken[2, 1] = bad
    with pytest.raises(TrainingError, match=r"1 of 4 query embeddings are not finite.*Lower"):
        ranks(broken, embeddings(4), torch.arange(4))
    with pytest.raises(TrainingError, match="gallery"):
        ranks(embeddings(4), broken, torch.arange(4))


@pytest.mark.parametrize(("values", "median"), [([5.0], 5), ([1, 4, 2], 2), ([1, 2.5, 4, 9], 3.25)])
def test_median_rank_is_numpys_median(values: list[float], median: float) -> None:
    assert median_rank(torch.tensor(values, dtype=torch.float64)) == median == np.median(values)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_recall_equals_torchmetrics_hit_rate(k: int) -> None:
    x = embeddings(60)
    noisy = x + embeddings(60, seed=4)
    found = ranks(noisy, x, torch.arange(60))
    cosines = torch.nn.functional.normalize(noisy) @ torch.nn.functional.normalize(x).T
    hit_rate = RetrievalHitRate(top_k=k)
    queries = torch.arange(60)[:, None].expand(60, 60)
    hit_rate.update(cosines.flatten(), torch.eye(60).long().flatten(), queries.flatten())
    assert 0 < recall_at(found, k) < 1
    assert recall_at(found, k) == pytest.approx(hit_rate.compute().item())


def test_median_and_recall_of_no_queries_do_not_exist() -> None:
    assert math.isnan(median_rank(torch.empty(0))) and math.isnan(recall_at(torch.empty(0), 5))
