"""The ragged models against their dense, masked twins: same loss, same gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.config import SMDF_MODELS, LossConfig, ModelConfig, ModelName
from raymm.losses.build import build_loss
from raymm.models.base import FusionModel
from raymm.models.build import build_model
from raymm.models.embeddings import Embeddings
from raymm.models.transformer import TokenTransformer
from tests.models.batches import SPECS, random_batch, random_presence
from tests.models.dense import dense_embeddings, dense_fusion, dense_presence

MODELS: tuple[ModelName, ...] = (*SMDF_MODELS, "cbmf")


def tiny(name: ModelName, modalities: int) -> FusionModel:
    torch.manual_seed(1)
    config = ModelConfig(name=name, width=8, depth=2, heads=2, head_size=16, fusion_tokens=2)
    return build_model(SPECS[:modalities], config)


def gradients(loss: Tensor, model: FusionModel) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if grad is None else grad
        for name, parameter, grad in zip(names, parameters, found, strict=True)
    }


def check_equal(name: ModelName, presence: NDArray[np.bool_]) -> None:
    model = tiny(name, presence.shape[1])
    loss = build_loss(name, model.pairs, LossConfig())
    batch = random_batch(presence)
    ragged = model(batch)
    dense = Embeddings(dense_embeddings(model, batch), dense_presence(model, batch))
    assert torch.equal(ragged.present, dense.present)
    torch.testing.assert_close(ragged.vectors, dense.vectors, atol=1e-5, rtol=1e-5)
    fused = dense_fusion(model, dense.vectors, batch)
    torch.testing.assert_close(model.fusion(ragged), fused, atol=1e-5, rtol=1e-5)
    ragged_loss, dense_loss = loss(ragged), loss(dense)
    torch.testing.assert_close(ragged_loss, dense_loss, atol=1e-5, rtol=1e-5)
    expected = gradients(dense_loss, model)
    torch.testing.assert_close(gradients(ragged_loss, model), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("modalities", [2, 3, 4, 6])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("name", MODELS)
def test_equals_dense(name: ModelName, sparsity: float, modalities: int) -> None:
    check_equal(name, random_presence(7, modalities, sparsity, seed=modalities))


@pytest.mark.parametrize("absent", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_equals_dense_when_nobody_has_a_modality(name: ModelName, absent: int) -> None:
    presence = random_presence(6, 4, 0.4, seed=5)
    presence[:, absent] = False
    presence[~presence.any(axis=1), 2] = True
    check_equal(name, presence)


@pytest.mark.parametrize("name", MODELS)
def test_equals_dense_with_one_sample(name: ModelName) -> None:
    check_equal(name, np.array([[True, False, True, True]]))


@pytest.mark.parametrize("name", MODELS)
def test_places_that_hold_no_sample_change_nothing(name: ModelName) -> None:
    presence = random_presence(5, 3, 0.4, seed=2)
    padded = np.concatenate([presence, np.zeros((2, 3), dtype=np.bool_)])
    model = tiny(name, 3)
    loss = build_loss(name, model.pairs, LossConfig())
    full, with_places = model(random_batch(presence)), model(random_batch(padded))
    torch.testing.assert_close(with_places.vectors[:, :5], full.vectors)
    assert not with_places.present[:, 5:].any()
    torch.testing.assert_close(loss(with_places), loss(full))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_takes_part_even_when_nobody_has_its_modality(name: ModelName) -> None:
    presence = np.array([[True, False, True], [True, False, False]])
    model = tiny(name, 3)
    build_loss(name, model.pairs, LossConfig())(model(random_batch(presence))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", SMDF_MODELS)
def test_an_absent_modality_has_no_tokens(name: ModelName) -> None:
    model = tiny(name, 4)
    assert isinstance(model, TokenTransformer)
    rows: list[int] = []
    model.blocks[-1].norm.register_forward_hook(lambda _, __, out: rows.append(out.shape[0]))
    dense_presence = np.ones((6, 4), dtype=np.bool_)
    model(random_batch(dense_presence))
    sparse_presence = np.zeros((6, 4), dtype=np.bool_)
    sparse_presence[:, 2] = True
    model(random_batch(sparse_presence))
    full, sparse = rows[0], rows[-1]
    fusion = {"mca": 6 * 2 * 7, "zorro": 6 * 2 * 11, "eao": 0}[name]
    assert sparse == 6 * SPECS[2].width + fusion < full
