"""Dense, masked, slow and obviously right versions of the fusion models.

Every sample is padded to full length, every attention is a whole matrix with a mask, EAO runs a
separate pass for each set of modalities. They read the weights of the real models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from raymm.data.batch import Batch
from raymm.models.base import FusionModel
from raymm.models.cbmf import CBMF
from raymm.models.channel_model import ChannelModel
from raymm.models.eao import EAO
from raymm.models.transformer import TokenTransformer
from tests.models.dense_cbmf import cbmf_embeddings


@dataclass
class Padded:
    """Tokens of all modalities, (B, T, d), with which are real (B, T) and their modality (T,)."""

    tokens: Tensor
    real: Tensor
    modality: Tensor


def padded_tokens(model: TokenTransformer, batch: Batch) -> Padded:
    """Every modality of every sample, at full length."""
    tokens, real, modality = [], [], []
    for index, spec in enumerate(model.specs):
        length = spec.max_length
        filled = torch.zeros(batch.size, length, model.config.width, dtype=model.norm.weight.dtype)
        mask = torch.zeros(batch.size, length, dtype=torch.bool)
        for block in batch.blocks:
            if block.modality != index:
                continue
            encoded = model.tokenizer.encoders[index](block.values)
            for row, sample in enumerate(block.samples.tolist()):
                count = block.length if block.lengths is None else int(block.lengths[row])
                filled[sample, :count] = encoded[row, :count]
                mask[sample, :count] = True
        tokens.append(filled)
        real.append(mask)
        modality += [index] * length
    return Padded(torch.cat(tokens, 1), torch.cat(real, 1), torch.tensor(modality))


def attention(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, heads: int) -> Tensor:
    """Masked softmax attention; (B, Tq, inner), (B, Tk, inner) x 2, (B, Tq, Tk) -> (B, Tq, inner)."""
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(~allowed.unsqueeze(1), -torch.inf)
    weights = torch.nan_to_num(scores.softmax(-1), nan=0.0)
    return (weights @ value).transpose(1, 2).flatten(2)


def transformer(model: TokenTransformer, tokens: Tensor, allowed: Tensor) -> Tensor:
    """All blocks and the final norm, (B, T, d)."""
    width = model.config.width
    for block in model.blocks:
        tokens = F.layer_norm(tokens, (width,), block.norm.weight)
        query, key, value = (tokens @ block.qkv.weight.T).chunk(3, -1)
        mixed = attention(query, key, value, allowed, model.config.heads)
        tokens = mixed @ block.out.weight.T + tokens
        tokens = F.layer_norm(tokens, (width,), block.norm.weight)
        value, gate = (tokens @ block.feedforward.expand.weight.T).chunk(2, -1)
        tokens = (F.gelu(gate) * value) @ block.feedforward.contract.weight.T + tokens
    return F.layer_norm(tokens, (width,), model.norm.weight)


def channel_embeddings(model: ChannelModel, batch: Batch) -> Tensor:
    """MCA or Zorro: (K, B, d), zero where absent."""
    padded = padded_tokens(model, batch)
    count, size, width = model.fusion_tokens.shape
    fusion = model.fusion_tokens.flatten(0, 1).expand(batch.size, -1, -1)
    tokens = torch.cat([padded.tokens, fusion], 1)
    real = torch.cat([padded.real, torch.ones(batch.size, count * size, dtype=torch.bool)], 1)
    # Negative numbers stand for the channels' groups: -1 is the first channel's.
    kind = torch.cat([padded.modality, -1 - torch.arange(count).repeat_interleave(size)])
    sees = kind[:, None] == kind[None, :]
    for number, channel in enumerate(model.channels):
        rows = kind == -1 - number
        sees[rows] |= torch.isin(kind, torch.tensor(channel))
    outputs = transformer(model, tokens, sees & real[:, None, :])
    pool = model.pool
    keys, values = outputs @ pool.key.weight.T, outputs @ pool.value.weight.T
    embeddings = []
    kinds = [*range(len(model.specs)), *(-1 - n for n in range(count))]
    for number, which in enumerate(kinds):
        query = pool.queries[number].expand(batch.size, 1, width)
        allowed = ((kind == which) & real).unsqueeze(1)
        pooled = attention(query @ pool.query.weight.T, keys, values, allowed, model.config.heads)
        embeddings.append((pooled @ pool.out.weight.T + query).squeeze(1))
    return zero_absent(model, batch, torch.stack(embeddings))


def eao_embeddings(model: EAO, batch: Batch) -> Tensor:
    """EAO: a pass for each modality and each pair, (K, B, d), zero where absent."""
    padded = padded_tokens(model, batch)
    modalities = range(len(model.specs))
    embeddings = []
    for members in [(m,) for m in modalities] + list(combinations(modalities, 2)):
        chosen = torch.isin(padded.modality, torch.tensor(members))
        tokens, real = padded.tokens[:, chosen], padded.real[:, chosen]
        outputs = transformer(model, tokens, real[:, None, :].expand(-1, tokens.shape[1], -1))
        weight = real.unsqueeze(-1).to(outputs.dtype)
        mean = (outputs * weight).sum(1) / weight.sum(1).clamp(min=1)
        embeddings.append(model.project(mean))
    return zero_absent(model, batch, torch.stack(embeddings))


def zero_absent(model: FusionModel, batch: Batch, embeddings: Tensor) -> Tensor:
    """Zero where a sample lacks an embedding, by the plain definition of presence."""
    return embeddings * dense_presence(model, batch).unsqueeze(-1)


def dense_presence(model: FusionModel, batch: Batch) -> Tensor:
    """Which embedding exists for which sample, (K, B): EAO's if all members are there, others' if any."""
    present = torch.zeros(len(model.members), batch.size, dtype=torch.bool)
    for number, members in enumerate(model.members):
        for sample in range(batch.size):
            has = [bool(batch.presence[sample, member]) for member in members]
            present[number, sample] = all(has) if isinstance(model, EAO) else any(has)
    return present


def dense_fusion(model: FusionModel, embeddings: Tensor, batch: Batch) -> Tensor:
    """Embedding of everything present, (B, d): the all-modality channel's, or the mean of unit ones."""
    present = dense_presence(model, batch)
    rows = []
    for sample in range(batch.size):
        if isinstance(model, (EAO, CBMF)):
            found = embeddings[present[:, sample], sample]
            rows.append((found / found.norm(dim=-1, keepdim=True)).mean(0))
        else:
            rows.append(embeddings[model.members.index(tuple(range(len(model.specs)))), sample])
    return torch.stack(rows)


def dense_embeddings(model: FusionModel, batch: Batch) -> Tensor:
    """The slow twin of `model(batch).vectors`."""
    if isinstance(model, EAO):
        return eao_embeddings(model, batch)
    if isinstance(model, CBMF):
        return cbmf_embeddings(model, batch)
    assert isinstance(model, ChannelModel)
    return channel_embeddings(model, batch)
