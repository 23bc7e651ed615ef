"""CBMF sample by sample, token by token: slow and obviously right. Reads the real model's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from raymm.data.batch import Batch
from raymm.models.cbmf import CBMF
from raymm.models.deep_fusion import DeepFusionEncoder
from raymm.models.fusion_operations import AdditiveAttention, Concatenate
from raymm.models.projection import Projection


def cbmf_embeddings(model: CBMF, batch: Batch) -> Tensor:
    """(M, B, d), zero where absent."""
    width = model.config.width
    found = torch.zeros(len(model.specs), batch.size, width, dtype=model.contexts.dtype)
    for block in batch.blocks:
        for row, sample in enumerate(block.samples.tolist()):
            count = block.length if block.lengths is None else int(block.lengths[row])
            is_table = model.specs[block.modality].kind == "table"
            features = block.values[row] if is_table else block.values[row, :count]
            found[block.modality, sample] = _embedding(model, block.modality, features)
    return found


def _embedding(model: CBMF, modality: int, features: Tensor) -> Tensor:
    """One sample's embedding: features (w,) or (L, w) -> (d,)."""
    projection = model.projections[modality]
    assert isinstance(projection, Projection)
    features = torch.where(features.isnan(), 0.0, features)
    hidden = (features @ projection.expand.weight.T + projection.expand.bias).clamp(min=0)
    projected = hidden @ projection.contract.weight.T + projection.contract.bias
    fused = _fused(model, projected, model.contexts[modality])
    encoded = _encoded(model, fused)
    return encoded if encoded.dim() == 1 else encoded.mean(0)


def _fused(model: CBMF, projected: Tensor, context: Tensor) -> Tensor:
    """Equations 1 and 2, operation by operation."""
    operation, name = model.operation, model.config.fusion_operation
    if name == "add":
        return projected + context
    if name == "multiply":
        return projected * context
    if name == "concatenate":
        assert isinstance(operation, Concatenate)
        of_features, of_context = operation.join.weight.chunk(2, 1)
        return projected @ of_features.T + of_context @ context + operation.join.bias
    scores = []
    for token in projected:
        if name == "dot_attention":
            scores.append((token * context).sum() / len(context) ** 0.5)
        else:
            assert isinstance(operation, AdditiveAttention)
            mixed = operation.query.weight @ context + operation.key.weight @ token
            scores.append(operation.score.weight[0] @ torch.tanh(mixed))
    weights = torch.stack(scores).exp()
    weights = weights / weights.sum()
    return (weights[:, None] * projected).sum(0)


def _encoded(model: CBMF, fused: Tensor) -> Tensor:
    """The Deep Fusion Encoder on one sample: a vector (d,) or tokens (L, d)."""
    encoder = model.fusion_encoder
    half = encoder.block if isinstance(encoder, DeepFusionEncoder) else encoder
    tokens = F.layer_norm(fused, fused.shape[-1:], half.norm.weight)
    if fused.dim() == 2:
        assert isinstance(encoder, DeepFusionEncoder)
        tokens = _attended(encoder, tokens, model.config.dfe_heads) + tokens
        tokens = F.layer_norm(tokens, fused.shape[-1:], half.norm.weight)
    value, gate = (tokens @ half.feedforward.expand.weight.T).chunk(2, -1)
    return fused + (F.gelu(gate) * value) @ half.feedforward.contract.weight.T + tokens


def _attended(encoder: DeepFusionEncoder, tokens: Tensor, heads: int) -> Tensor:
    """Multi-head self-attention, (L, d) -> (L, d)."""
    query, key, value = (tokens @ encoder.block.qkv.weight.T).chunk(3, -1)
    size = query.shape[1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / size**0.5
        outputs.append(scores.softmax(-1) @ value[:, part])
    return torch.cat(outputs, 1) @ encoder.block.out.weight.T
