"""CBMF with each of its operations against its dense twin, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raymm.config import (
    ATTENTION_OPERATIONS,
    FUSION_OPERATIONS,
    FusionOperation,
    LossConfig,
    ModelConfig,
)
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.errors import ConfigError
from raymm.losses.build import build_loss
from raymm.models.build import build_model
from raymm.models.cbmf import CBMF
from raymm.models.deep_fusion import DeepFusionEncoder, PooledFusionEncoder
from raymm.models.embeddings import Embeddings
from tests.models.batches import SPECS, random_batch, random_presence
from tests.models.dense import dense_fusion, dense_presence
from tests.models.dense_cbmf import cbmf_embeddings
from tests.models.test_against_dense import gradients

TABLES = tuple(spec for spec in SPECS if spec.kind == "table")
SEQUENCES = tuple(spec for spec in SPECS if spec.kind == "sequence")
ELEMENT_WISE = tuple(name for name in FUSION_OPERATIONS if name not in ATTENTION_OPERATIONS)


def tiny(specs: Sequence[ModalitySpec], operation: FusionOperation, **settings: int) -> CBMF:
    torch.manual_seed(1)
    config = ModelConfig(name="cbmf", width=8, fusion_operation=operation, **settings)  # type: ignore[arg-type]
    model = build_model(specs, config)
    assert isinstance(model, CBMF)
    torch.nn.init.normal_(model.contexts)  # large, so that the operation matters
    return model


def of_kind(batch: Batch, specs: Sequence[ModalitySpec]) -> Batch:
    """The blocks of some of `SPECS`, numbered anew."""
    kept = [SPECS.index(spec) for spec in specs]
    blocks = [
        Block(kept.index(block.modality), block.samples, block.values, block.lengths)
        for block in batch.blocks
        if block.modality in kept
    ]
    return Batch(batch.presence[:, kept], tuple(blocks))


def check_equal(model: CBMF, batch: Batch) -> None:
    loss = build_loss("cbmf", model.pairs, LossConfig())
    ragged = model(batch)
    dense = Embeddings(cbmf_embeddings(model, batch), dense_presence(model, batch))
    assert torch.equal(ragged.present, dense.present)
    torch.testing.assert_close(ragged.vectors, dense.vectors, atol=1e-5, rtol=1e-5)
    somebody = dense.present.any(0)
    fused = dense_fusion(model, dense.vectors, batch)
    torch.testing.assert_close(model.fusion(ragged)[somebody], fused[somebody])
    expected = gradients(loss(dense), model)
    torch.testing.assert_close(gradients(loss(ragged), model), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("operation", ELEMENT_WISE)
@pytest.mark.parametrize("specs", [SPECS, TABLES, SEQUENCES], ids=["mixed", "tables", "sequences"])
def test_element_wise_operations_equal_dense(
    specs: Sequence[ModalitySpec], operation: FusionOperation, sparsity: float
) -> None:
    batch = random_batch(random_presence(7, len(SPECS), sparsity, seed=3))
    check_equal(tiny(specs, operation, projection_width=5), of_kind(batch, specs))


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("operation", ATTENTION_OPERATIONS)
def test_attention_operations_equal_dense(operation: FusionOperation, sparsity: float) -> None:
    batch = random_batch(random_presence(9, len(SPECS), sparsity, seed=4))
    check_equal(tiny(SEQUENCES, operation), of_kind(batch, SEQUENCES))


@pytest.mark.parametrize("operation", FUSION_OPERATIONS)
def test_every_parameter_takes_part_whoever_is_missing(operation: FusionOperation) -> None:
    specs = SEQUENCES if operation in ATTENTION_OPERATIONS else (SPECS[0], SPECS[1])
    for presence in ([[True, False]], [[False, True]], [[False, False]]):
        model = tiny(specs, operation)
        batch = _with_presence(np.array(presence * 3), specs)
        vectors = model(batch).vectors
        vectors.sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


def _with_presence(presence: NDArray[np.bool_], specs: Sequence[ModalitySpec]) -> Batch:
    wide = np.zeros((len(presence), len(SPECS)), dtype=np.bool_)
    wide[:, [SPECS.index(spec) for spec in specs]] = presence
    return of_kind(random_batch(wide), specs)


def test_a_missing_modality_costs_nothing() -> None:
    model = tiny(SPECS, "add")
    rows: dict[str, int] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda _, args, __, name=name: rows.__setitem__(name, _rows(args[0]))
        )
    presence = np.zeros((6, len(SPECS)), dtype=np.bool_)
    presence[:2, 0] = presence[3:, 1] = True
    batch = random_batch(presence)
    model(batch)
    assert isinstance(model.fusion_encoder, DeepFusionEncoder)
    tokens = sum(block.size * block.length for block in batch.blocks if block.modality == 1)
    assert rows["fusion_encoder.block"] == tokens
    assert rows["projections.0"] == 2
    assert sum(rows[f"projections.{other}"] for other in range(2, len(SPECS))) == 0


def _rows(values: object) -> int:
    return values[..., 0].numel() if isinstance(values, torch.Tensor) else 0


def test_padding_of_a_sequence_changes_nothing() -> None:
    for operation in FUSION_OPERATIONS:
        model = tiny(SEQUENCES, operation)
        values = torch.randn(2, 5, SEQUENCES[0].width)
        video = Block(1, torch.arange(2), torch.randn(2, 3, SEQUENCES[1].width))
        short, presence = values[:, :4], np.ones((2, 2), dtype=np.bool_)
        plain = model(Batch(presence, (Block(0, torch.arange(2), short), video)))
        lengths = torch.tensor([4, 4])
        padded = model(Batch(presence, (Block(0, torch.arange(2), values, lengths), video)))
        torch.testing.assert_close(padded.vectors, plain.vectors)


def test_a_value_missing_in_a_row_counts_as_the_train_mean() -> None:
    model = tiny(TABLES, "add")
    assert TABLES[1].has_missing
    values = torch.randn(2, TABLES[1].width)
    rows = [values.clone(), values.clone()]
    rows[0][:, 2], rows[1][:, 2] = torch.nan, 0.0
    others = tuple(
        Block(index, torch.arange(2), torch.randn(2, spec.width))
        for index, spec in enumerate(TABLES)
    )
    found = [
        model(
            Batch(
                np.ones((2, len(TABLES)), dtype=np.bool_),
                (others[0], Block(1, torch.arange(2), row), *others[2:]),
            )
        ).vectors
        for row in rows
    ]
    torch.testing.assert_close(found[0], found[1])


def test_contexts_are_a_modalitys_own_and_the_encoder_is_shared() -> None:
    model = tiny(TABLES, "multiply")
    assert model.contexts.shape == (len(TABLES), 8)
    assert isinstance(model.fusion_encoder, PooledFusionEncoder)
    assert len(model.pairs) == len(TABLES) * (len(TABLES) - 1) / 2
    assert model.members == tuple((index,) for index in range(len(TABLES)))


@pytest.mark.parametrize("operation", ATTENTION_OPERATIONS)
def test_attention_over_pooled_vectors_is_refused(operation: FusionOperation) -> None:
    with pytest.raises(ConfigError, match="but expression has one vector a sample"):
        tiny(SPECS[:2], operation)
    one_token = ModalitySpec("clip", "sequence", 3, 1)
    with pytest.raises(ConfigError, match="but clip has one vector a sample"):
        tiny((SPECS[1], one_token), operation)


def test_a_single_modality_is_refused() -> None:
    with pytest.raises(ConfigError, match="two modalities or more"):
        tiny(SPECS[:1], "add")
