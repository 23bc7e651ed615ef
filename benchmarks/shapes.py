"""The papers' shapes, random batches of them, and the operations that a step must do.

A fused multiply-add counts as two operations. A backward pass counts twice its forward pass; what a
kernel computes again to save memory does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.config import LossConfig, ModelConfig, ModelName
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.losses.contrastive import ContrastiveLoss
from raymm.models.build import build_model
from raymm.models.channels import fusion_channels

TOKENS = (800, 198, 800, 662)
"""Columns of TCGA's four tables: gene expression, proteins, methylation, miRNA (SMDF 4.1.2)."""
SPECS = tuple(ModalitySpec(f"table{i}", "table", n, n) for i, n in enumerate(TOKENS))


def paper_model(name: ModelName, depth: int = 5) -> ModelConfig:
    """Width 512, 8 heads of 64, 88 fusion tokens."""
    return ModelConfig(name=name, width=512, depth=depth, heads=8, head_size=64, fusion_tokens=8)


class Step(torch.nn.Module):
    """A model with its loss."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = build_model(SPECS, config)
        self.loss = ContrastiveLoss(self.model.pairs, LossConfig())

    def forward(self, batch: Batch) -> torch.Tensor:
        """Loss of a batch."""
        loss: torch.Tensor = self.loss(self.model(batch))
        return loss


def full_batch(samples: int, sparsity: float, seed: int) -> Batch:
    """A batch as training has it: samples left with nothing were dropped, and it is full."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((1000 * samples, len(TOKENS))) >= sparsity
    presence = drawn[drawn.any(axis=1)][:samples]
    blocks = []
    for modality, tokens in enumerate(TOKENS):
        rows = np.flatnonzero(presence[:, modality])
        values = torch.from_numpy(rng.normal(size=(len(rows), tokens)).astype(np.float32))
        blocks.append(Block(modality, torch.from_numpy(rows), values))
    return Batch(presence, tuple(blocks))


def unimodal_tokens(presence: NDArray[np.bool_]) -> int:
    """Tokens that a batch has, fusion tokens apart."""
    return int(presence.sum(0) @ np.array(TOKENS))


def step_operations(config: ModelConfig, presence: NDArray[np.bool_], pairs: int) -> float:
    """Operations of a forward and a backward pass.

    Args:
        config: of the model.
        presence: (B, M) of the batch.
        pairs: pairs of embeddings that the loss compares.
    """
    counts, tokens = presence.sum(0), unimodal_tokens(presence)
    width, inner = config.width, config.heads * config.head_size
    hidden = int(width * config.feedforward_factor * 2 / 3)
    qkv, rest = 2 * width * 3 * inner, 2 * inner * width + 2 * width * 3 * hidden
    total = tokens * 2.0 * width * width
    if config.name == "eao":
        rows, scores = _eao(presence)
        total += tokens * qkv + rows * rest
        total += (config.depth - 1) * rows * (qkv + rest) + config.depth * 4 * inner * scores
    else:
        fusion, scores = _channels(config, presence)
        scores += int(sum(n * length**2 for n, length in zip(counts, TOKENS, strict=True)))
        total += config.depth * ((tokens + fusion) * (qkv + rest) + 4 * inner * scores)
        total += (tokens + fusion) * 4 * width * config.heads
    total += pairs * 2 * len(presence) ** 2 * width
    return 3 * total


def _eao(presence: NDArray[np.bool_]) -> tuple[int, int]:
    """Rows of all passes, and query-key pairs."""
    rows = scores = 0
    for first in range(len(TOKENS)):
        for second in range(first, len(TOKENS)):
            both = int((presence[:, first] & presence[:, second]).sum())
            length = TOKENS[first] + (TOKENS[second] if second > first else 0)
            rows, scores = rows + both * length, scores + both * length**2
    return rows, scores


def _channels(config: ModelConfig, presence: NDArray[np.bool_]) -> tuple[int, int]:
    """Fusion tokens, and their query-key pairs."""
    channels: Sequence[tuple[int, ...]] = fusion_channels(len(TOKENS), config.channel_orders)
    size = config.fusion_tokens
    if config.name == "zorro":
        size, channels = size * len(channels), channels[-1:]
    fusion = scores = 0
    for channel in channels:
        there = presence[:, list(channel)]
        groups = int(there.any(1).sum())
        seen = int((there @ np.array(TOKENS)[list(channel)]).sum())
        fusion, scores = fusion + groups * size, scores + groups * size**2 + seen * size
    return fusion, scores
