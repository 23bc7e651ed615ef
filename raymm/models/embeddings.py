"""What a model returns: named embeddings, and which sample has which.

Shapes: K embeddings, B samples, d components.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a batch.

    Attributes:
        vectors: (K, B, d), not normalised, zero where absent.
        present: (K, B) bool.
    """

    vectors: Tensor
    present: Tensor


def mean_direction(embeddings: Embeddings) -> Tensor:
    """Mean of the L2-normalised embeddings that a sample has, (B, d); 0 where it has none."""
    present = embeddings.present.unsqueeze(-1).to(embeddings.vectors.dtype)
    total = (F.normalize(embeddings.vectors, dim=-1) * present).sum(0)
    return total / present.sum(0).clamp(min=1)
