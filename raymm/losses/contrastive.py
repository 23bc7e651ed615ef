"""The contrastive loss: InfoNCE over every pair of embeddings, over the global batch.

Shapes: P pairs, K embeddings, B samples of the global batch, d components.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from raymm.config import LossConfig
from raymm.losses.gather import gather_embeddings
from raymm.models.embeddings import Embeddings

LARGEST_BLOCK = 2**26
"""Most similarities held at a time (256 MiB in fp32)."""
FRUGAL_BLOCK = 2**22
"""The same where memory is short."""


class ContrastiveLoss(nn.Module):
    """Mean over the pairs of InfoNCE in both directions, with one learned temperature for all.

    A pair's term runs over the samples that have both embeddings, as rows and as negatives. Pairs that
    no sample has are left out of the mean. With ranks, embeddings are gathered first, so that the loss
    and its gradient are those of the whole batch on one rank.

    Attributes:
        frugal: whether a few pairs' similarities at a time are held, and computed once more for the
            gradient, rather than all until then.
    """

    pair_index: Tensor
    frugal: bool = False

    def __init__(self, pairs: Sequence[tuple[int, int]], config: LossConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("pair_index", torch.tensor(pairs).T.contiguous(), persistent=False)
        start = torch.tensor(math.log(1 / config.temperature))
        self.log_scale = nn.Parameter(start, requires_grad=config.learn_temperature)

    def scale(self) -> Tensor:
        """1 / temperature, within [1, 100]."""
        return self.log_scale.exp().clamp(1, 100)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the learned scale where it can still learn; called after each optimiser step."""
        self.log_scale.clamp_(0, math.log(100))

    def forward(self, embeddings: Embeddings) -> Tensor:
        """The loss of the global batch of which `embeddings` is this rank's share: a scalar."""
        everyone = gather_embeddings(embeddings)
        vectors = everyone.vectors.float()
        if self.config.similarity == "cosine":
            vectors = F.normalize(vectors, dim=-1)
        terms, counts = [], []
        first, second = self.pair_index
        block = FRUGAL_BLOCK if self.frugal else LARGEST_BLOCK
        at_once = max(1, block // max(1, vectors.shape[1] ** 2))
        for one, two in zip(first.split(at_once), second.split(at_once), strict=True):
            both = everyone.present[one] & everyone.present[two]
            pairs = vectors[one], vectors[two], both
            if self.frugal:
                terms.append(checkpoint(self._terms, *pairs, use_reentrant=False))
            else:
                terms.append(self._terms(*pairs))
            counts.append(both.sum(1))
        used = torch.cat(counts) > 0
        total = torch.where(used, torch.cat(terms), 0.0).sum()
        return total / used.sum().clamp(min=1)

    def _terms(self, one: Tensor, two: Tensor, both: Tensor) -> Tensor:
        """InfoNCE of each pair, (P,): the mean over its samples and both directions.

        Args:
            one, two: (P, B, d) the pairs' embeddings.
            both: (P, B) samples that have both.
        """
        logits = (one @ two.transpose(1, 2)) * self.scale()
        matches = logits.diagonal(dim1=1, dim2=2)
        by_row, by_column = self._denominators(logits, both)
        each = (by_row + by_column) / 2 - matches
        return torch.where(both, each, 0.0).sum(1) / both.sum(1).clamp(min=1)

    def _denominators(self, logits: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
        """Logs of the softmax's denominators of each row and each column, (P, B) each.

        Args:
            logits: (P, B, B).
            both: (P, B) samples that have both embeddings of a pair.
        """
        if self.config.negatives == "all":
            return logits.logsumexp(2), logits.logsumexp(1)
        # A finite floor: a row with nothing left must give zero gradient, not NaN.
        floor = torch.finfo(logits.dtype).min
        by_row = logits.masked_fill(~both.unsqueeze(1), floor).logsumexp(2)
        return by_row, logits.masked_fill(~both.unsqueeze(2), floor).logsumexp(1)
