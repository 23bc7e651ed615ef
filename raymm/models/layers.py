"""The transformer block all fusion models share (SMDF 3 and its published code).

Shapes: T tokens of a flat stream, d width, H heads, D head size.
"""

from __future__ import annotations

from torch import Tensor, nn

from raymm.models.attention import ragged_attention
from raymm.models.feedforward import FeedForward
from raymm.models.plan import AttentionPlan


class TransformerBlock(nn.Module):
    """x = LN(x); x = MHA(x) + x; x = LN(x); x = GEGLU(x) + x, with one layer norm used twice."""

    def __init__(self, width: int, heads: int, head_size: int, feedforward_factor: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.norm = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * heads * head_size, bias=False)
        self.out = nn.Linear(heads * head_size, width, bias=False)
        self.feedforward = FeedForward(width, feedforward_factor)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """First half of the block: normalised tokens (T, d), and their qkv (T, 3, H, D)."""
        tokens = self.norm(tokens)
        return tokens, self.qkv(tokens).unflatten(-1, (3, self.heads, self.head_size))

    def attend(self, tokens: Tensor, qkv: Tensor, plan: AttentionPlan) -> Tensor:
        """Second half: attention and feed-forward over what `project` returned, (T, d)."""
        return self.feed(self.out(ragged_attention(qkv, plan).flatten(1)) + tokens)

    def feed(self, tokens: Tensor) -> Tensor:
        """The feed-forward half, which sees each row alone: (..., d) -> (..., d)."""
        tokens = self.norm(tokens)
        mixed: Tensor = self.feedforward(tokens) + tokens
        return mixed

    def forward(self, tokens: Tensor, plan: AttentionPlan) -> Tensor:
        """(T, d) -> (T, d)."""
        return self.attend(*self.project(tokens), plan)
