"""The contrastive loss against a loop over samples that follows the definition."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from raymm.config import LossConfig
from raymm.losses import contrastive
from raymm.losses.contrastive import ContrastiveLoss
from raymm.models.channels import eao_pairs, fusion_channels, mca_pairs
from raymm.models.embeddings import Embeddings

PAIRS = list(combinations(range(4), 2))


def random_embeddings(samples: int = 6, share: float = 0.6, seed: int = 0) -> Embeddings:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(4, samples, generator=generator) < share
    vectors = torch.randn(4, samples, 5, generator=generator, dtype=torch.float64)
    return Embeddings((vectors * present.unsqueeze(-1)).float(), present)


def slow_loss(embeddings: Embeddings, config: LossConfig, pairs: list[tuple[int, int]]) -> float:
    """InfoNCE sample by sample, in double precision and plain Python."""

    def similarity(a: Tensor, b: Tensor) -> float:
        dot = float(a.double() @ b.double())
        if config.similarity == "cosine":
            lengths = float(a.double().norm() * b.double().norm())
            dot = dot / lengths if lengths > 0 else 0.0
        return dot / config.temperature

    terms = []
    for first, second in pairs:
        has = [
            n
            for n in range(embeddings.present.shape[1])
            if embeddings.present[first, n] and embeddings.present[second, n]
        ]
        if not has:
            continue
        others = has if config.negatives == "present" else range(embeddings.present.shape[1])
        total = 0.0
        for one, two in ((first, second), (second, first)):
            for n in has:
                row = [
                    similarity(embeddings.vectors[one, n], embeddings.vectors[two, m])
                    for m in others
                ]
                own = similarity(embeddings.vectors[one, n], embeddings.vectors[two, n])
                total += math.log(sum(math.exp(value - own) for value in row))
        terms.append(total / 2 / len(has))
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("negatives", ["present", "all"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_equals_the_definition(similarity: str, negatives: str, share: float) -> None:
    config = LossConfig(similarity=similarity, negatives=negatives, temperature=0.3)  # type: ignore[arg-type]
    embeddings = random_embeddings(share=share)
    loss = ContrastiveLoss(PAIRS, config)(embeddings)
    assert loss.item() == pytest.approx(slow_loss(embeddings, config, PAIRS), rel=1e-5)


def test_pairs_computed_some_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, embeddings = ContrastiveLoss(PAIRS, LossConfig()), random_embeddings()
    whole = loss(embeddings)
    monkeypatch.setattr(contrastive, "LARGEST_BLOCK", 2 * 6 * 6)
    torch.testing.assert_close(loss(embeddings), whole)


def test_no_pair_with_a_sample_gives_zero_and_zero_gradient() -> None:
    vectors = torch.randn(2, 3, 4, requires_grad=True)
    present = torch.tensor([[True, True, False], [False, False, True]])
    loss = ContrastiveLoss([(0, 1)], LossConfig())(Embeddings(vectors, present))
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None and not vectors.grad.any()


def test_absent_samples_get_no_gradient() -> None:
    embeddings = random_embeddings(share=0.5)
    vectors = embeddings.vectors.requires_grad_()
    ContrastiveLoss(PAIRS, LossConfig())(Embeddings(vectors, embeddings.present)).backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
    assert not vectors.grad[~embeddings.present].any()


def test_temperature_learns_within_its_bounds() -> None:
    loss = ContrastiveLoss([(0, 1)], LossConfig(temperature=0.07))
    assert 1 / loss.scale().item() == pytest.approx(0.07)
    for start, bound in ((9.0, 100.0), (-3.0, 1.0)):
        with torch.no_grad():
            loss.log_scale.fill_(start)
        loss.clamp()
        assert loss.scale().item() == pytest.approx(bound)


def test_frozen_temperature_is_no_parameter_to_train() -> None:
    assert not ContrastiveLoss(
        [(0, 1)], LossConfig(learn_temperature=False)
    ).log_scale.requires_grad


def test_numbers_of_terms_are_the_papers() -> None:
    channels = fusion_channels(4)
    members = [(m,) for m in range(4)] + list(combinations(range(4), 2))
    assert len(channels) == 11
    assert len(mca_pairs(4, len(channels))) == 60
    assert len(mca_pairs(4, 1)) == 10
    assert len(eao_pairs(members, "all")) == 45
    disjoint = eao_pairs(members, "disjoint")
    # 6 of two single modalities, 4 x 3 of one and a pair without it, 3 of two pairs.
    assert len(disjoint) == 6 + 12 + 3
    assert all(not set(members[a]) & set(members[b]) for a, b in disjoint)


@pytest.mark.parametrize(("log_scale", "scale"), [(-1.0, 1.0), (1.0, math.e), (9.0, 100.0)])
def test_the_learned_scale_stays_within_its_range(log_scale: float, scale: float) -> None:
    loss = ContrastiveLoss(PAIRS, LossConfig())
    torch.nn.init.constant_(loss.log_scale, log_scale)
    assert float(loss.scale().detach()) == pytest.approx(scale)
    loss.clamp()
    assert float(loss.log_scale.detach()) == pytest.approx(math.log(scale))
