"""CBMF's loss against its equations, sample by sample in plain Python."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from raymm.config import MODEL_NAMES, LossConfig
from raymm.losses.build import build_loss
from raymm.losses.contrastive import ContrastiveLoss
from raymm.losses.soft_targets import SoftTargetLoss
from raymm.models.embeddings import Embeddings
from tests.losses.test_contrastive import random_embeddings

PAIRS = list(combinations(range(4), 2))


def softmax(values: list[Tensor]) -> list[Tensor]:
    total = sum((value.exp() for value in values), torch.zeros((), dtype=torch.float64))
    return [value.exp() / total for value in values]


def pair_loss(x: list[Tensor], y: list[Tensor], tau: float) -> Tensor:
    """Equations 3 to 6 as printed; x_i and y_i are the hatted embeddings of sample i."""
    count = len(x)
    x, y = ([v / v.norm() for v in side] for side in (x, y))
    total = torch.zeros((), dtype=torch.float64)
    one = [softmax([x[i] @ y[m] / tau for m in range(count)]) for i in range(count)]
    two = [softmax([y[i] @ x[m] / tau for m in range(count)]) for i in range(count)]
    target = [
        softmax([((x[i] @ x[m] + y[i] @ y[m]) / (2 * tau)).detach() for m in range(count)])
        for i in range(count)
    ]
    for i in range(count):
        for j in range(count):
            total = total - target[i][j] * one[i][j].log() - target[j][i] * two[i][j].log()
    return total / (2 * count)


def slow_loss(vectors: Tensor, present: Tensor, tau: float) -> Tensor:
    """Mean over the pairs of modalities that some sample has."""
    terms = []
    for first, second in PAIRS:
        has = [n for n in range(present.shape[1]) if present[first, n] and present[second, n]]
        if has:
            x, y = ([vectors[side, n] for n in has] for side in (first, second))
            terms.append(pair_loss(x, y, tau))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("tau", [0.07, 0.5, 1.0])
def test_loss_and_gradient_are_those_of_the_equations(tau: float, share: float) -> None:
    made = random_embeddings(samples=7, share=share)
    slow = made.vectors.double().requires_grad_()
    expected = slow_loss(slow, made.present, tau)
    fast = made.vectors.double().requires_grad_()
    embeddings = Embeddings(fast.float(), made.present)
    loss = SoftTargetLoss(PAIRS, LossConfig(temperature=tau))(embeddings)
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=1e-5)
    (grad,) = torch.autograd.grad(loss, fast)
    (expected_grad,) = torch.autograd.grad(expected, slow)
    torch.testing.assert_close(grad, expected_grad, atol=1e-5, rtol=1e-4)


def test_targets_are_constants_that_sum_to_one() -> None:
    x, y = torch.randn(2, 1, 5, 4, requires_grad=True)
    both = torch.tensor([[True, True, False, True, True]])
    targets = SoftTargetLoss([(0, 1)], LossConfig())._targets(x, y, both)
    assert not targets.requires_grad
    torch.testing.assert_close(targets.sum(2), both.float())
    assert not targets[:, :, 2].any()


def test_the_learned_temperature_gets_its_gradient_from_the_logits_alone() -> None:
    made = random_embeddings(samples=6, share=1.0)
    loss = SoftTargetLoss(PAIRS, LossConfig(temperature=0.3))
    loss(made).backward()
    scale = torch.tensor(1 / 0.3, dtype=torch.float64, requires_grad=True)
    x, y = made.vectors.double(), made.present

    def with_scale(values: Tensor) -> Tensor:
        terms = []
        for first, second in PAIRS:
            one, two = (values[i] / values[i].norm(dim=-1, keepdim=True) for i in (first, second))
            target = ((one @ one.T + two @ two.T) / 2 / 0.3).softmax(1)
            logits = one @ two.T * scale
            terms.append(-(target * (logits.log_softmax(1) + logits.log_softmax(0))).sum() / 2)
        return torch.stack(terms).mean() / y.shape[1]

    (expected,) = torch.autograd.grad(with_scale(x), scale)
    assert loss.log_scale.grad is not None
    assert float(loss.log_scale.grad) == pytest.approx(float(expected) / 0.3, rel=1e-4)


def test_it_nears_plain_infonce_as_the_targets_sharpen() -> None:
    """Orthogonal samples at the lowest temperature: every target is its own sample's."""
    vectors = torch.eye(6).expand(2, 6, 6) + 0.01 * torch.randn(2, 6, 6)
    embeddings = Embeddings(vectors, torch.ones(2, 6, dtype=torch.bool))
    config = LossConfig(temperature=0.01)
    soft, hard = (kind([(0, 1)], config)(embeddings) for kind in (SoftTargetLoss, ContrastiveLoss))
    torch.testing.assert_close(soft, hard, atol=1e-4, rtol=1e-4)  # logits of 100 in float32


@pytest.mark.parametrize("log_scale", [-50.0, 0.0, math.log(100), 50.0])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e15])
def test_extreme_temperatures_and_sizes_stay_finite(log_scale: float, size: float) -> None:
    made = random_embeddings(samples=8, share=0.5)
    vectors = (made.vectors * size).requires_grad_()
    loss = SoftTargetLoss(PAIRS, LossConfig())
    torch.nn.init.constant_(loss.log_scale, log_scale)
    value = loss(Embeddings(vectors, made.present))
    value.backward()
    assert torch.isfinite(value)
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()
    assert loss.log_scale.grad is not None and torch.isfinite(loss.log_scale.grad)


def test_absent_samples_get_no_gradient_and_no_weight() -> None:
    made = random_embeddings(samples=6, share=0.5)
    vectors = made.vectors.clone().requires_grad_()
    loss = SoftTargetLoss(PAIRS, LossConfig())
    value = loss(Embeddings(vectors, made.present))
    value.backward()
    assert vectors.grad is not None and not vectors.grad[~made.present].any()
    filled = torch.where(made.present.unsqueeze(-1), made.vectors, torch.randn_like(made.vectors))
    torch.testing.assert_close(loss(Embeddings(filled, made.present)), value)


def test_nobody_with_a_pair_gives_zero_and_zero_gradient() -> None:
    vectors = torch.randn(2, 3, 4, requires_grad=True)
    present = torch.tensor([[True, True, False], [False, False, True]])
    loss = SoftTargetLoss([(0, 1)], LossConfig())(Embeddings(vectors, present))
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None and not vectors.grad.any()


def test_other_negatives_only_widen_the_denominators() -> None:
    made = random_embeddings(samples=6, share=0.5)
    present = SoftTargetLoss(PAIRS, LossConfig(negatives="present"))
    everyone = SoftTargetLoss(PAIRS, LossConfig(negatives="all"))
    assert everyone(made) > present(made)
    whole = random_embeddings(samples=6, share=1.0)
    torch.testing.assert_close(everyone(whole), present(whole))


def test_the_loss_follows_from_the_model() -> None:
    assert isinstance(build_loss("cbmf", PAIRS, LossConfig()), SoftTargetLoss)
    plain = build_loss("cbmf", PAIRS, LossConfig(cbmf_targets="hard"))
    assert not isinstance(plain, SoftTargetLoss)
    for name in set(MODEL_NAMES) - {"cbmf"}:
        assert not isinstance(build_loss(name, PAIRS, LossConfig()), SoftTargetLoss)


def test_hard_targets_alone_drive_apart_what_nearly_coincides() -> None:
    """Both sides are the same cloud about one point: perfectly aligned, and too near to be told apart."""
    generator = torch.Generator().manual_seed(0)
    cloud = torch.eye(1, 16) + 0.01 * torch.randn(8, 16, generator=generator)
    growth = {}
    for kind in (SoftTargetLoss, ContrastiveLoss):
        vectors = cloud.repeat(2, 1, 1).requires_grad_()
        made = Embeddings(vectors, torch.ones(2, 8, dtype=torch.bool))
        (grad,) = torch.autograd.grad(kind([(0, 1)], LossConfig())(made), vectors)
        away = vectors.detach() - vectors.detach().mean(1, keepdim=True)
        growth[kind] = -float((grad * away).sum() / (away * away).sum())
    assert growth[ContrastiveLoss] > 1  # 1 / (temperature x samples) = 1.8 for each side
    assert abs(growth[SoftTargetLoss]) < 0.01
