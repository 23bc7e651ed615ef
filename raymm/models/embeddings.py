"""What a model returns: named embeddings, and which sample has which.

Shapes: K embeddings, B samples, d components.
"""

from __future__ import annotations

from dataclasses import dataclass

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
