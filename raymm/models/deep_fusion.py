"""CBMF's Deep Fusion Encoder after its fusion layer: layer norm, transformer block, residual.

The block is the house's, whose first step is that layer norm. On a sequence it runs over the tokens; on
a pooled vector, which has nothing but itself to attend to, it is its feed-forward half.

Shapes: n samples of a block, L tokens of each, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raymm.data.batch import Block
from raymm.models.feedforward import FeedForward
from raymm.models.layers import TransformerBlock
from raymm.models.plan import AttentionPlan, BlockPlan, Segment, on_device, plan_attention
from raymm.models.pooling import mean_tokens


@dataclass(frozen=True)
class FusedTokens:
    """A block's token sequences after the fusion layer: (n, L, d)."""

    block: Block
    tokens: Tensor


class PooledFusionEncoder(nn.Module):
    """The encoder where every modality comes as one vector: it has no attention to train."""

    def __init__(self, width: int, feedforward_factor: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.feedforward = FeedForward(width, feedforward_factor)

    def pooled(self, fused: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        rows = self.norm(fused)
        mixed: Tensor = fused + (self.feedforward(rows) + rows)
        return mixed


class DeepFusionEncoder(nn.Module):
    """The encoder of token sequences and, with the same weights, of pooled vectors."""

    def __init__(self, width: int, heads: int, feedforward_factor: int) -> None:
        """Draw the weights.

        Args:
            heads: each has width / heads components.
        """
        super().__init__()
        self.block = TransformerBlock(width, heads, width // heads, feedforward_factor)

    def pooled(self, fused: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        return fused + self.block.feed(fused)

    def means(self, fused: Sequence[FusedTokens]) -> list[Tensor]:
        """Mean of each sample's encoded tokens: (n, d) for each block."""
        stream = torch.cat([each.tokens.flatten(0, 1) for each in fused])
        encoded = stream + self.block(stream, _plan(fused, stream))
        sizes = [each.block.size * each.tokens.shape[1] for each in fused]
        return [
            mean_tokens(rows.view(*each.tokens.shape), device_lengths(each.block))
            for rows, each in zip(torch.split(encoded, sizes), fused, strict=True)
        ]


def device_lengths(block: Block) -> Tensor | None:
    """(n,) real lengths of a block's rows on its values' device; None where all are full."""
    if block.lengths is None:
        return None
    return on_device(block.lengths.numpy(), block.values.device)


def _plan(fused: Sequence[FusedTokens], stream: Tensor) -> AttentionPlan:
    """Each sample's tokens see each other."""
    segments, start = [], 0
    for each in fused:
        block, length = each.block, each.tokens.shape[1]
        real = None if block.lengths is None else block.lengths.numpy()
        segments.append(Segment(block.size, start, length, None, real))
        start += block.size * length
    if not start:  # nobody in the batch has a sequence
        return BlockPlan((), 0)
    return plan_attention(segments, start, stream.device)
