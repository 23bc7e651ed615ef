"""From output tokens to one embedding for each modality and channel.

Shapes: n samples of a block, L tokens of each, d width, H heads, D head size, K embeddings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryPool(nn.Module):
    """Cross-attention of one learned query per embedding, plus the query itself (SMDF 3).

    One query serves all samples, so it is taken through the key projection instead of the tokens
    (q . W_k x = (W_k' q) . x), and values are projected after they are averaged: the same sums in
    another order, at 1 / D of the cost.
    """

    def __init__(self, embeddings: int, width: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        inner = heads * head_size
        self.queries = nn.Parameter(torch.randn(embeddings, width))
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def key_queries(self) -> Tensor:
        """Each embedding's scaled query, taken through the key projection: (K, H, d)."""
        query: Tensor = self.query(self.queries)
        query = query.view(-1, self.heads, self.head_size)
        key = self.key.weight.view(self.heads, self.head_size, -1).to(query.dtype)
        seen: Tensor = torch.einsum("khs,hsd->khd", query, key) * self.head_size**-0.5
        return seen

    def average(self, tokens: Tensor, key_query: Tensor, lengths: Tensor | None) -> Tensor:
        """Each head's weighted mean of a block's tokens.

        Args:
            tokens: (n, L, d). lengths: (n,) real tokens of each sample, None where all are.
            key_query: (H, d) for one query, or (n, H, d) for one of each sample.

        Returns:
            (n, H, d).
        """
        scores = tokens @ key_query.transpose(-1, -2)
        if lengths is not None:
            padded = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
            scores = scores.masked_fill(padded.unsqueeze(-1), -torch.inf)
        return scores.transpose(1, 2).softmax(-1).to(tokens.dtype) @ tokens

    def embed(self, averages: Tensor, which: Tensor) -> Tensor:
        """Finish: project the averages of each head and add the query.

        Args:
            averages: (N, H, d). which: (N,) the embedding each belongs to.

        Returns:
            (N, d).
        """
        value = self.value.weight.view(self.heads, self.head_size, -1).to(averages.dtype)
        heads = torch.einsum("nhd,hsd->nhs", averages, value)
        pooled: Tensor = self.out(heads.flatten(1))
        # An embedding, not an index: the gradient of many rows of few queries is a matrix product.
        one_hot = F.one_hot(which, len(self.queries)).to(pooled.dtype)
        return pooled + one_hot @ self.queries.to(pooled.dtype)


def mean_tokens(tokens: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean over the real tokens of a block: (n, L, d) -> (n, d)."""
    if lengths is None:
        return tokens.mean(1)
    real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return (tokens * real.unsqueeze(-1).to(tokens.dtype)).sum(1) / lengths[:, None].to(tokens.dtype)
