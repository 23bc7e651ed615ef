"""Micro-batches give the loss and the gradient of the whole step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raymm.config import MODEL_NAMES, CellConfig, DataConfig, ModelConfig, ModelName
from raymm.data.batch import Batch
from raymm.data.prepare import prepare
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.load import load_encoder
from raymm.encoders.raw import raw_dataset
from raymm.losses.contrastive import ContrastiveLoss
from raymm.training.learner import Learner, data_parallel
from raymm.training.microbatch import backward_in_parts, split_batch
from tests.losses.test_world_size import SPECS, share_of
from tests.models.batches import random_batch, random_presence
from tests.ranks import on_ranks

MODALITIES = 3
MODELS: tuple[ModelName, ...] = tuple(name for name in MODEL_NAMES if name != "convirt")
"""Those that need no encoders."""
PARTS = (1, 2, 3, 8)


@dataclasses.dataclass
class Specs:
    """All that a learner asks of its data."""

    specs: Any = SPECS[:MODALITIES]


def learner(name: ModelName) -> Learner:
    torch.manual_seed(3)
    model = ModelConfig(name=name, width=8, depth=2, heads=2, head_size=8)
    made: Any = Learner
    found: Learner = made(Specs(), CellConfig(model=model))
    return found


def gradients(module: Learner) -> dict[str, Tensor]:
    return {
        name: each.grad
        for name, each in module.named_parameters()
        if each.requires_grad and each.grad is not None
    }


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(
            found[name], tensor, atol=1e-6, rtol=1e-5,
            msg=lambda text, where=name: f"{where}: {text}",
        )  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sparsity", [0.0, 0.4, 0.7])
def test_gradient_in_parts_is_that_of_the_whole_step(name: ModelName, sparsity: float) -> None:
    batch = random_batch(random_presence(12, MODALITIES, sparsity, seed=5), seed=1)
    whole = learner(name)
    loss = whole(batch)
    torch.autograd.backward(loss)
    wanted = gradients(whole)
    assert any(bool(tensor.abs().max() > 1e-4) for tensor in wanted.values())
    for parts in PARTS:
        cut = learner(name)
        found = backward_in_parts(cut, batch, parts)
        torch.testing.assert_close(found, loss.detach(), atol=1e-6, rtol=1e-6)
        assert not found.requires_grad
        assert_same(gradients(cut), wanted)


def test_the_loss_holds_few_similarities_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch(random_presence(12, MODALITIES, 0.3, seed=5), seed=1)
    whole = learner("mca")
    torch.autograd.backward(whole(batch))
    monkeypatch.setattr("raymm.losses.contrastive.FRUGAL_BLOCK", 2 * 12**2)  # two pairs at a time
    sizes: list[int] = []
    terms = ContrastiveLoss._terms

    def counted(loss: ContrastiveLoss, *pairs: Tensor) -> Tensor:
        sizes.append(len(pairs[0]))
        return terms(loss, *pairs)

    monkeypatch.setattr(ContrastiveLoss, "_terms", counted)
    cut = learner("mca")
    backward_in_parts(cut, batch, 4)
    assert max(sizes) == 2
    assert sum(sizes) == 2 * len(cut.model.pairs)  # once more for the gradient
    assert_same(gradients(cut), gradients(whole))


def test_a_batch_is_cut_in_order_and_nothing_is_lost() -> None:
    batch = random_batch(random_presence(11, MODALITIES, 0.4, seed=2))
    parts = split_batch(batch, 4)
    assert [part.size for part in parts] == [3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate([p.presence for p in parts]), batch.presence)
    for part in parts:
        assert {block.modality for block in part.blocks} == set(range(MODALITIES))
        for modality in range(MODALITIES):
            there = [block.samples for block in part.blocks if block.modality == modality]
            places = np.sort(torch.cat(there).numpy())
            np.testing.assert_array_equal(places, np.flatnonzero(part.presence[:, modality]))


def test_what_is_drawn_in_the_first_pass_is_drawn_again_in_the_second() -> None:
    batch = random_batch(random_presence(6, MODALITIES, 0.2, seed=2))
    drawn: list[Tensor] = []

    class Noisy(Learner):
        def embed(self, batch: Batch) -> Any:
            drawn.append(torch.rand(4))
            return super().embed(batch)

    made: Any = Noisy
    backward_in_parts(made(Specs(), CellConfig()), batch, 3)
    assert len(drawn) == 6
    assert all(torch.equal(one, two) for one, two in zip(drawn[:3], drawn[3:], strict=True))
    assert not torch.equal(drawn[0], drawn[1])


def test_encoders_that_are_trained_get_the_gradient_of_the_whole_step() -> None:
    pairs = load_pairs("emoji")
    few = pairs.chosen(np.arange(len(pairs.ids)) % 60 == 0)
    names = {"image": "efficientnet-lite0", "text": "minilm"}
    encoders = {kind: load_encoder(name, device="cpu") for kind, name in names.items()}
    raw = raw_dataset(few, encoders, label=few.labels[0].name)
    model = ModelConfig(name="convirt", width=16, encoders=tuple(names.values()))
    prepared = prepare(raw, DataConfig())
    found = []
    for parts in (0, 3):
        torch.manual_seed(0)
        made = Learner(prepared, CellConfig(model=model))
        batch = prepared.train.batch(np.arange(6))
        if parts:
            backward_in_parts(made, batch, parts)
        else:
            torch.autograd.backward(made(batch))
        found.append(gradients(made))
    assert len(found[0]) > 100
    largest = max(float(tensor.norm()) for tensor in found[0].values())
    for name, tensor in found[0].items():
        # Of some parameters (an attention's key bias) the gradient is nothing but rounding.
        apart = (found[1][name] - tensor).norm() / max(float(tensor.norm()), 1e-3 * largest)
        assert float(apart) < 1e-3, f"{name}: {float(apart)}"


def rank_of_two(rank: int, _folder: Path) -> None:
    share = share_of(rank, 2)  # rank 1 has nobody with the second modality
    for name in MODELS:
        whole = learner(name)
        parallel = data_parallel(whole, torch.device("cpu"))
        loss = parallel(share)
        loss.backward()
        wanted = gradients(whole)
        for parts in (2, 4):
            cut = learner(name)
            found = backward_in_parts(cut, share, parts)
            torch.testing.assert_close(found, loss.detach(), atol=1e-6, rtol=1e-6)
            assert_same(gradients(cut), wanted)


def test_two_ranks_in_parts_have_the_gradient_of_two_ranks(tmp_path: Path) -> None:
    on_ranks(rank_of_two, 2, tmp_path)
