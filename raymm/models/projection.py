"""The non-linear projection of CBMF and ConVIRT, and what both do with its results.

Shapes: n samples of a block, L tokens, w components of a feature vector, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.config import ModelConfig
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.errors import ConfigError
from raymm.models.base import FusionModel
from raymm.models.embeddings import Embeddings, mean_direction
from raymm.models.plan import on_device


class Projection(nn.Module):
    """`g_i`: linear, ReLU, linear (ConVIRT, Zhang et al., 2022)."""

    def __init__(self, components: int, hidden: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(components, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """(..., w) -> (..., d)."""
        projected: Tensor = self.contract(torch.relu(self.expand(features)))
        return projected


class AlignmentModel(FusionModel):
    """A model of one embedding for each modality, aligned with those of all others.

    The fusion embedding is the mean of the L2-normalised ones that a sample has.

    Raises:
        ConfigError: fewer than two modalities.
    """

    def __init__(
        self, specs: Sequence[ModalitySpec], config: ModelConfig, features: Sequence[int]
    ) -> None:
        """Make the projections.

        Args:
            features: w of each modality.
        """
        super().__init__(specs, config)
        if len(specs) < 2:
            raise ConfigError(
                f"Fusion needs two modalities or more; this data set has {len(specs)}."
            )
        self.members = tuple((index,) for index in range(len(specs)))
        self.pairs = tuple(combinations(range(len(specs)), 2))
        hidden = config.projection_width or config.width
        self.projections = nn.ModuleList(
            Projection(width, hidden, config.width) for width in features
        )

    def exists(self, presence: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(B, M) presence -> (M, B)."""
        return presence.T

    def fusion(self, embeddings: Embeddings) -> Tensor:
        """Mean of the L2-normalised embeddings that a sample has, (B, d)."""
        return mean_direction(embeddings)

    def in_place(self, blocks: Sequence[Block], rows: Sequence[Tensor], batch: Batch) -> Embeddings:
        """The embeddings of a batch from those of its blocks, (n, d) each."""
        places = [block.samples.numpy() + block.modality * batch.size for block in blocks]
        return self.collect(
            torch.cat(list(rows)), on_device(np.concatenate(places), batch.device), batch
        )
