"""MCA and Zorro: unimodal tokens see their own modality, fusion tokens their channel's (SMDF 3).

The stream is the batch's unimodal blocks, then one group of fusion tokens for each (channel, sample)
that exists, channel by channel. A channel exists in a sample if any of its modalities does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.config import ModelConfig
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.models.channels import Channel, mca_pairs
from raymm.models.embeddings import Embeddings
from raymm.models.plan import AttentionPlan, Segment, on_device, plan_attention
from raymm.models.pooling import QueryPool
from raymm.models.transformer import TokenTransformer


class ChannelModel(TokenTransformer):
    """A transformer with fusion channels; `channels` tells MCA from Zorro."""

    member_matrix: NDArray[np.bool_]

    def __init__(
        self,
        specs: Sequence[ModalitySpec],
        config: ModelConfig,
        channels: Sequence[Channel],
        tokens_per_channel: int,
    ) -> None:
        super().__init__(specs, config)
        self.channels = tuple(channels)
        self.members = tuple((index,) for index in range(len(specs))) + self.channels
        self.pairs = tuple(mca_pairs(len(specs), len(channels)))
        self.fusion_tokens = nn.Parameter(
            torch.randn(len(channels), tokens_per_channel, config.width)
        )
        self.pool = QueryPool(len(self.members), config.width, config.heads, config.head_size)
        self.member_matrix = np.array(
            [[index in channel for index in range(len(specs))] for channel in self.channels]
        )

    def exists(self, presence: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(B, M) presence -> (M + channels, B)."""
        fused = (self.member_matrix.astype(np.int8) @ presence.T.astype(np.int8)) > 0
        return np.concatenate([presence.T, fused])

    def fusion(self, embeddings: Embeddings) -> Tensor:
        """The all-modality channel's embedding, (B, d)."""
        return embeddings.vectors[-1]

    def forward(self, batch: Batch) -> Embeddings:
        """All unimodal and channel embeddings of a batch."""
        groups = _Groups(self.exists(batch.presence), batch)
        unimodal = self.tokenizer(batch)
        fusion = self.fusion_tokens.to(unimodal.dtype)[groups.channel].flatten(0, 1)
        tokens = torch.cat([unimodal, fusion])
        plan = self._plan(batch, groups, unimodal.shape[0])
        for block in self.blocks:
            tokens = block(tokens, plan)
        return self._pooled(self.norm(tokens), batch, groups)

    def _plan(self, batch: Batch, groups: _Groups, fusion_start: int) -> AttentionPlan:
        """Each block sees itself, each group itself, and each group the blocks of its channel."""
        size = self.fusion_tokens.shape[1]
        own, across, start = [], [], 0
        for block in batch.blocks:
            lengths = None if block.lengths is None else block.lengths.numpy()
            seen_by = np.flatnonzero(self.member_matrix[:, block.modality])
            rows = groups.rows(seen_by, block, size) + fusion_start
            own.append(Segment(block.size, start, block.length, None, lengths))
            across.append(Segment(block.size, start, block.length, rows, lengths, partial=True))
            start += block.size * block.length
        inside = Segment(groups.count, fusion_start, size, partial=True)
        return plan_attention((*own, inside, *across), fusion_start, batch.device)

    def _pooled(self, tokens: Tensor, batch: Batch, groups: _Groups) -> Embeddings:
        key_queries = self.pool.key_queries()
        width, size = tokens.shape[1], self.fusion_tokens.shape[1]
        counts = [block.size * block.length for block in batch.blocks]
        *blocks, fused = torch.split(tokens, [*counts, groups.count * size])
        averages = [
            self.pool.average(
                rows.view(block.size, block.length, width), key_queries[block.modality], lengths
            )
            for rows, block, lengths in zip(blocks, batch.blocks, groups.lengths, strict=True)
        ]
        inside = fused.view(groups.count, size, width)
        of_channel = key_queries[groups.channel + len(self.specs)]
        averages.append(self.pool.average(inside, of_channel, None))
        pooled = self.pool.embed(torch.cat(averages), groups.embedding)
        return self.collect(pooled, groups.places, batch)


class _Groups:
    """The groups of fusion tokens that exist in a batch, numbered channel by channel.

    Attributes:
        count: G, how many there are.
        channel: (G,) the channel of each.
        places: (N,) place in the flattened (K, B) grid of each block's samples, then each group.
        embedding: (N,) the embedding, of the K, of each of these.
        lengths: real lengths of each block's rows, on the batch's device.
    """

    def __init__(self, exists: NDArray[np.bool_], batch: Batch) -> None:
        modalities = batch.presence.shape[1]
        self.count = int(exists[modalities:].sum())
        self.number = (np.cumsum(exists[modalities:]) - 1).reshape(exists[modalities:].shape)
        places = [block.samples.numpy() + block.modality * batch.size for block in batch.blocks]
        places.append(np.flatnonzero(exists[modalities:]) + modalities * batch.size)
        joined = np.concatenate(places)
        embedding = joined // max(batch.size, 1)
        self.places = on_device(joined, batch.device)
        self.embedding = on_device(embedding, batch.device)
        self.channel = self.embedding[len(joined) - self.count :] - modalities
        self.lengths = [
            None if block.lengths is None else on_device(block.lengths.numpy(), batch.device)
            for block in batch.blocks
        ]

    def rows(self, channels: NDArray[np.int64], block: Block, size: int) -> NDArray[np.int64]:
        """Rows, in the fusion part, of some channels' tokens for a block: (n, channels x size)."""
        first = self.number[channels][:, block.samples.numpy()].T * size
        rows: NDArray[np.int64] = first[:, :, None] + np.arange(size)
        return rows.reshape(block.size, len(channels) * size)
