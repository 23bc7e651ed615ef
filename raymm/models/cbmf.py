"""Context-Based Multimodal Fusion (Faye et al., 2024): frozen features, aligned by what is small.

    x_hat = f(g_i(f_i(x)) (*) g(c_i))        (eq. 1)

f_i is frozen: its features are the data (a table's row is one pooled vector, a sequence is its tokens),
or it runs in the step. g_i projects them to one width, g(c_i) is the modality's learned context, (*) a
fusion operation, and f the Deep Fusion Encoder that all modalities share.

Shapes: B samples, M modalities, n samples of a block, L tokens of each, d width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raymm.config import ATTENTION_OPERATIONS, ModelConfig
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.models.deep_fusion import (
    DeepFusionEncoder,
    FusedTokens,
    PooledFusionEncoder,
    device_lengths,
)
from raymm.models.embeddings import Embeddings
from raymm.models.fusion_operations import ContextAttention, fusion_operation
from raymm.models.needs import check_tokens
from raymm.models.pooling import mean_tokens
from raymm.models.projection import AlignmentModel
from raymm.models.step_encoders import StepEncoders

CONTEXT_SCALE = 0.02
"""Deviation of a context's components at the start."""


class CBMF(AlignmentModel):
    """One embedding for each modality; fusion is the mean of the normalised ones present.

    A value that is missing inside a present row of a table counts as its column's train mean, 0.
    """

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        """Draw the weights; load the frozen encoders where they run in the step.

        Raises:
            ConfigError: fewer than two modalities, encoders that do not fit them, or attention over
                pooled vectors.
        """
        encoders = StepEncoders(specs, config.encoders, trained=False) if config.encoders else None
        widths = encoders.widths if encoders else [spec.width for spec in specs]
        super().__init__(specs, config, widths)
        self.encoders = encoders
        check_tokens(config, _pooled(specs, config))
        # Small, so that the context shifts the features and does not drown them: the soft targets
        # compare embeddings of one modality, which a large context would make all alike.
        start = 1.0 if config.fusion_operation == "multiply" else 0.0
        self.contexts = nn.Parameter(start + CONTEXT_SCALE * torch.randn(len(specs), config.width))
        self.operation = fusion_operation(config.fusion_operation, config.width)
        tokens_go = config.fusion_operation in ATTENTION_OPERATIONS or config.pool_tokens
        tokens_stay = not tokens_go and not config.encoders
        self.fusion_encoder = (
            DeepFusionEncoder(config.width, config.dfe_heads, config.feedforward_factor)
            if tokens_stay and any(spec.kind == "sequence" for spec in specs)
            else PooledFusionEncoder(config.width, config.feedforward_factor)
        )

    def forward(self, batch: Batch) -> Embeddings:
        """The embeddings of all modalities of a batch."""
        pooled: list[tuple[Block, Tensor]] = []
        sequences: list[FusedTokens] = []
        for block in batch.blocks:
            fused = self._fused(block)
            if fused.dim() == 3:
                sequences.append(FusedTokens(block, fused))
            else:
                pooled.append((block, fused))
        blocks = [block for block, _ in pooled] + [each.block for each in sequences]
        rows: list[Tensor] = []
        if pooled:
            rows.append(self.fusion_encoder.pooled(torch.cat([fused for _, fused in pooled])))
        if sequences:
            assert isinstance(self.fusion_encoder, DeepFusionEncoder)
            rows += self.fusion_encoder.means(sequences)
        return self.in_place(blocks, rows, batch)

    def _fused(self, block: Block) -> Tensor:
        """A block's features, projected and fused with their context: (n, d) or (n, L, d)."""
        features = block.values if self.encoders is None else self.encoders(block)
        if self.specs[block.modality].has_missing:
            features = features.nan_to_num(nan=0.0)
        if self.config.pool_tokens and features.dim() == 3:
            features = mean_tokens(features, device_lengths(block))
        projected: Tensor = self.projections[block.modality](features)
        context = self.contexts[block.modality].to(projected.dtype)
        if isinstance(self.operation, ContextAttention):
            attended: Tensor = self.operation(projected, context, device_lengths(block))
            return attended
        fused: Tensor = self.operation(projected, context)
        return fused


def _pooled(specs: Sequence[ModalitySpec], config: ModelConfig) -> list[str]:
    """Names of the modalities that come as one vector a sample."""
    return [
        spec.name
        for spec in specs
        if config.encoders or spec.kind == "table" or spec.max_length < 2
    ]
