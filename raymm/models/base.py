"""What every fusion model offers to the loss, the metrics and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.config import ModelConfig
from raymm.data.batch import Batch
from raymm.data.dataset import ModalitySpec
from raymm.models.channels import Channel
from raymm.models.embeddings import Embeddings
from raymm.models.plan import on_device


class FusionModel(nn.Module, ABC):
    """A model that embeds samples with holes.

    Attributes:
        members: the modalities behind each embedding, the M unimodal ones first.
        pairs: the pairs of embeddings that the contrastive loss compares.
    """

    members: tuple[Channel, ...]
    pairs: tuple[tuple[int, int], ...]

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        super().__init__()
        self.specs, self.config = tuple(specs), config

    @abstractmethod
    def forward(self, batch: Batch) -> Embeddings:
        """All embeddings of a batch, K of width d."""

    @abstractmethod
    def fusion(self, embeddings: Embeddings) -> Tensor:
        """The embedding of everything that is present, (B, d); of no meaning where nothing is."""

    @abstractmethod
    def exists(self, presence: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which embedding exists for which sample: (B, M) presence -> (K, B)."""

    def collect(self, pooled: Tensor, places: Tensor, batch: Batch) -> Embeddings:
        """Put pooled rows (N, d) at their places (N,) of the flattened (K, B) grid."""
        exists = on_device(self.exists(batch.presence), pooled.device)
        grid = pooled.new_zeros(exists.numel(), pooled.shape[-1])
        vectors = grid.index_copy(0, places, pooled).view(*exists.shape, -1)
        return Embeddings(vectors, exists)
