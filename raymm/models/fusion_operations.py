"""Fusion of a modality's features with its context: the (*) of CBMF's equation 1.

Element-wise operations keep the features' shape and act on every token alike. Attention operations
(eq. 2) take the context as the query and the tokens as keys and values, and leave one vector.

Shapes: n samples, L tokens of each, d width; (..., d) is (n, d) or (n, L, d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from raymm.config import FusionOperation


class ElementWise(nn.Module, ABC):
    """An operation on each vector alone."""

    @abstractmethod
    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(..., d) features and a context (d,) -> (..., d)."""


class Add(ElementWise):
    """features + context."""

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(..., d), (d,) -> (..., d)."""
        return features + context


class Multiply(ElementWise):
    """features * context, component by component."""

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(..., d), (d,) -> (..., d)."""
        return features * context


class Concatenate(ElementWise):
    """Features and context side by side, 2 d components, and a linear map back to d."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.join = nn.Linear(2 * width, width)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(..., d), (d,) -> (..., d)."""
        joined: Tensor = self.join(torch.cat([features, context.expand_as(features)], dim=-1))
        return joined


class ContextAttention(nn.Module, ABC):
    """Softmax over a sample's tokens of how well each answers the context."""

    @abstractmethod
    def scores(self, tokens: Tensor, context: Tensor) -> Tensor:
        """f_s of eq. 2: (n, L, d) keys and a query (d,) -> (n, L)."""

    def forward(self, tokens: Tensor, context: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Weighted mean of the tokens.

        Args:
            tokens: (n, L, d).
            context: (d,).
            lengths: (n,) real tokens of each sample; None where all are.

        Returns:
            (n, d).
        """
        scores = self.scores(tokens, context)
        if lengths is not None:
            padded = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
            scores = scores.masked_fill(padded, -torch.inf)
        weights = scores.softmax(-1).to(tokens.dtype)
        return (weights.unsqueeze(1) @ tokens).squeeze(1)


class DotAttention(ContextAttention):
    """Scaled dot product, <Q, K> / sqrt(d) (Vaswani et al., 2017)."""

    def scores(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(n, L, d), (d,) -> (n, L)."""
        scored: Tensor = (tokens @ context) * context.shape[-1] ** -0.5
        return scored


class AdditiveAttention(ContextAttention):
    """W1 tanh(W2 Q + W3 K) (Bahdanau et al., 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)

    def scores(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(n, L, d), (d,) -> (n, L)."""
        scored: Tensor = self.score(torch.tanh(self.query(context) + self.key(tokens)))
        return scored.squeeze(-1)


def fusion_operation(name: FusionOperation, width: int) -> ElementWise | ContextAttention:
    """The operation of a name, with freshly drawn weights where it has any."""
    match name:
        case "add":
            return Add()
        case "multiply":
            return Multiply()
        case "concatenate":
            return Concatenate(width)
        case "dot_attention":
            return DotAttention()
        case "additive_attention":
            return AdditiveAttention(width)
