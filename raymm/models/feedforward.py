"""GEGLU feed-forward whose elementwise work stays in the processor's cache.

The plain composition walks five times over (T, inner) arrays that fit no cache and keeps four of them
for the backward pass. Here rows are taken a chunk at a time, and only the expanded tokens are kept; what
the gate makes of them is computed again, which costs far less than reading it back.

Shapes: T tokens, d width, F inner width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK_BYTES = 2**20
"""Size of a chunk's expanded tokens: about what a core's own cache holds."""
LEAST_ROWS = 512
"""Below this a matrix product spends its time on arranging the weights."""


class FeedForward(nn.Module):
    """GEGLU feed-forward without biases; inner width int(width x factor x 2 / 3) (SMDF 3)."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.inner = int(width * factor * 2 / 3)
        self.expand = nn.Linear(width, 2 * self.inner, bias=False)
        self.contract = nn.Linear(self.inner, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(T, d) -> (T, d)."""
        if tokens.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            out: Tensor = _Chunked.apply(tokens, self.expand.weight, self.contract.weight)  # type: ignore[no-untyped-call]
            return out
        value, gate = self.expand(tokens).chunk(2, dim=-1)
        contracted: Tensor = self.contract(F.gelu(gate) * value)
        return contracted


class _Chunked(torch.autograd.Function):
    """contract(gelu(gate) * value) with (value, gate) = expand(tokens), some rows at a time."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
        inner = contract.shape[1]
        expanded = tokens.new_empty(len(tokens), 2 * inner)
        out = tokens.new_empty(len(tokens), contract.shape[0])
        product = tokens.new_empty(_chunk_rows(expanded), inner)
        for rows in _chunks(expanded):
            torch.mm(tokens[rows], expand.T, out=expanded[rows])
            value, gate = expanded[rows].chunk(2, dim=-1)
            active = product[: len(gate)]
            torch.mul(F.gelu(gate), value, out=active)
            torch.mm(active, contract.T, out=out[rows])
        ctx.save_for_backward(tokens, expanded, expand, contract)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens, expanded, expand, contract = ctx.saved_tensors
        grad, inner = grads[0].contiguous(), contract.shape[1]
        grad_tokens = torch.empty_like(tokens)
        grad_expand, grad_contract = torch.zeros_like(expand), torch.zeros_like(contract)
        buffer = tokens.new_empty(_chunk_rows(expanded), 2 * inner)
        for rows in _chunks(expanded):
            value, gate = expanded[rows].chunk(2, dim=-1)
            active = F.gelu(gate)
            grad_product = grad[rows] @ contract
            grad_contract.addmm_(grad[rows].T, active * value)
            grad_expanded = buffer[: len(gate)]
            grad_value, grad_gate = grad_expanded.chunk(2, dim=-1)
            torch.mul(grad_product, active, out=grad_value)
            grad_gate.copy_(torch.ops.aten.gelu_backward(grad_product.mul_(value), gate))
            torch.mm(grad_expanded, expand, out=grad_tokens[rows])
            grad_expand.addmm_(grad_expanded.T, tokens[rows])
        return grad_tokens, grad_expand, grad_contract


def _chunk_rows(expanded: Tensor) -> int:
    bytes_per_row = expanded.shape[1] * expanded.element_size()
    return max(LEAST_ROWS, CHUNK_BYTES // bytes_per_row)


def _chunks(expanded: Tensor) -> list[slice]:
    size = _chunk_rows(expanded)
    return [slice(start, start + size) for start in range(0, len(expanded), size)]
