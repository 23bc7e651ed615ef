"""Dense, masked twins of the models: what a careful PyTorch user would write.

Every sample is padded to full length; `scaled_dot_product_attention` gets a boolean mask; EAO makes a
pass for each modality and each pair. They use the weights of a real model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from raymm.data.batch import Batch
from raymm.models.base import FusionModel
from raymm.models.channel_model import ChannelModel
from raymm.models.eao import EAO
from raymm.models.embeddings import Embeddings


class Dense(torch.nn.Module):
    """The dense twin of a model of tables."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model
        lengths = [spec.max_length for spec in model.specs]
        modality = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        self.register_buffer("modality", modality)
        if isinstance(model, ChannelModel):
            self._channel_masks(model, modality)

    def _channel_masks(self, model: ChannelModel, modality: Tensor) -> None:
        count, size, _ = model.fusion_tokens.shape
        groups = -1 - torch.arange(count).repeat_interleave(size)
        kind = torch.cat([modality, groups])
        sees = kind[:, None] == kind
        for number, channel in enumerate(model.channels):
            sees |= (kind == -1 - number)[:, None] & torch.isin(kind, torch.tensor(channel))
        kinds = torch.cat([torch.arange(len(model.specs)), -1 - torch.arange(count)])
        self.register_buffer("sees", sees)
        self.register_buffer("pools", kinds[:, None] == kind)

    def forward(self, batch: Batch) -> Embeddings:
        """All embeddings, zero where absent."""
        presence = torch.from_numpy(batch.presence).to(batch.device)
        tokens = [
            encoder(self._padded(block.values, block.samples, batch.size)).to(block.values.dtype)
            for encoder, block in zip(self.model.tokenizer.encoders, batch.blocks, strict=True)
        ]
        real = presence[:, self.modality]
        embed = self._eao if isinstance(self.model, EAO) else self._channels
        vectors = embed(torch.cat(tokens, 1), real)
        exists = torch.from_numpy(self.model.exists(batch.presence)).to(batch.device)
        return Embeddings(vectors.transpose(0, 1) * exists.unsqueeze(-1), exists)

    def _padded(self, values: Tensor, samples: Tensor, size: int) -> Tensor:
        whole = values.new_zeros(size, values.shape[1])
        return whole.index_copy(0, samples.to(values.device), values)

    def _channels(self, tokens: Tensor, real: Tensor) -> Tensor:
        model = self.model
        assert isinstance(model, ChannelModel)
        fusion = model.fusion_tokens.flatten(0, 1).expand(len(tokens), -1, -1)
        real = F.pad(real, (0, fusion.shape[1]), value=True)
        tokens = self._transformer(torch.cat([tokens, fusion], 1), self.sees & real[:, None])
        pool = model.pool
        query = pool.query(pool.queries).expand(len(tokens), -1, -1)
        allowed = self.pools & real[:, None]
        pooled = self._attention(query, pool.key(tokens), pool.value(tokens), allowed)
        return pool.out(pooled) + pool.queries

    def _eao(self, tokens: Tensor, real: Tensor) -> Tensor:
        means = []
        for members in self.model.members:
            chosen = torch.isin(self.modality, torch.tensor(members, device=tokens.device))
            there = real[:, chosen]
            out = self._transformer(tokens[:, chosen], there[:, None])
            weight = there.unsqueeze(-1).to(out.dtype)
            means.append((out * weight).sum(1) / weight.sum(1).clamp(min=1))
        return self.model.project(torch.stack(means, 1))

    def _transformer(self, tokens: Tensor, allowed: Tensor) -> Tensor:
        for block in self.model.blocks:
            tokens = block.norm(tokens)
            query, key, value = block.qkv(tokens).chunk(3, -1)
            tokens = block.out(self._attention(query, key, value, allowed)) + tokens
            tokens = block.norm(tokens)
            wide, gate = block.feedforward.expand(tokens).chunk(2, -1)
            tokens = block.feedforward.contract(F.gelu(gate) * wide) + tokens
        return self.model.norm(tokens)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
        heads = self.model.config.heads
        parts = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value)]
        # A row that may see nothing would be NaN; its result is never used.
        allowed = allowed | ~allowed.any(-1, keepdim=True)
        out = F.scaled_dot_product_attention(*parts, attn_mask=allowed.unsqueeze(1))
        return out.transpose(1, 2).flatten(2)
