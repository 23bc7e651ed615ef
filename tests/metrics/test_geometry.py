from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, pdist

from raymm.metrics.geometry import alignment, uniformity


def embeddings(n: int, d: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 3


def naive_uniformity(x: Tensor) -> float:
    points = [row / row.norm() for row in x.double()]
    terms = [
        math.exp(-2 * float((a - b).square().sum()))
        for i, a in enumerate(points)
        for b in points[i + 1 :]
    ]
    return math.log(sum(terms) / len(terms))


@pytest.mark.parametrize("n", [2, 3, 17])
def test_uniformity_equals_a_loop_over_pairs(n: int) -> None:
    assert uniformity(embeddings(n)) == pytest.approx(naive_uniformity(embeddings(n)), rel=1e-12)


@pytest.mark.parametrize("block", [1, 2, 7, 40, 41, 1000])
def test_uniformity_is_the_same_in_blocks_of_any_size(block: int) -> None:
    x = embeddings(41)
    expected = pdist(normalize(x.double())).square().mul(-2).exp().mean().log().item()
    assert uniformity(x, block=block) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-4, 0.0])
@pytest.mark.parametrize("d", [8, 512])
def test_uniformity_in_single_precision_is_off_by_less_than_a_millionth(
    spread: float, d: int
) -> None:
    x = embeddings(1, d) + spread * embeddings(700, d, seed=1)
    exact = uniformity(x, exact_rows=700)
    assert uniformity(x, block=128, exact_rows=0) == pytest.approx(exact, abs=1e-6)


def test_uniformity_of_two_opposite_points_is_minus_eight() -> None:
    assert uniformity(torch.tensor([[2.0, 0.0], [-5.0, 0.0]])) == pytest.approx(-8)


def test_uniformity_of_a_regular_simplex_has_a_closed_form() -> None:
    # n corners: every squared distance is 2 n / (n - 1).
    n = 6
    corners = torch.eye(n) - 1 / n
    assert uniformity(corners) == pytest.approx(-2 * 2 * n / (n - 1), rel=1e-6)


def test_uniformity_of_equal_embeddings_is_zero() -> None:
    assert uniformity(embeddings(1).expand(50, 5)) == pytest.approx(0, abs=1e-12)


def test_uniformity_of_zeros_takes_their_distance_as_zero() -> None:
    assert uniformity(torch.zeros(3, 4)) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_uniformity_of_fewer_than_two_does_not_exist(n: int) -> None:
    assert math.isnan(uniformity(torch.ones(n, 3)))


def test_uniformity_of_bfloat16_is_computed_in_double_precision() -> None:
    x = embeddings(30).bfloat16()
    assert uniformity(x) == pytest.approx(uniformity(x.double()), rel=1e-12)


def test_uniformity_takes_no_gradient() -> None:
    uniformity(embeddings(4).requires_grad_())


def test_alignment_equals_a_loop_over_pairs() -> None:
    x, y = embeddings(9, seed=1).double(), embeddings(9, seed=2).double()
    terms = [float((a / a.norm() - b / b.norm()).square().sum()) for a, b in zip(x, y, strict=True)]
    assert alignment(x, y) == pytest.approx(sum(terms) / 9, rel=1e-12)


@pytest.mark.parametrize(("angle", "expected"), [(0, 0), (90, 2), (180, 4), (60, 1)])
def test_alignment_is_two_minus_twice_the_cosine(angle: float, expected: float) -> None:
    radians = math.radians(angle)
    turned = torch.tensor([[3 * math.cos(radians), 3 * math.sin(radians)]])
    assert alignment(torch.tensor([[7.0, 0.0]]), turned) == pytest.approx(expected, abs=1e-6)


def test_alignment_of_no_pairs_does_not_exist() -> None:
    assert math.isnan(alignment(torch.ones(0, 3), torch.ones(0, 3)))
