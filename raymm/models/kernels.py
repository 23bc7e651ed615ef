"""The attention kernels behind the ragged stream, one set for each kind of device.

All take and return the log-sum-exp, natural log, of each query's scores: partial results are merged by
it, and a backward pass given the merged one yields a segment's exact share of the gradient.

Shapes: n samples, H heads, Lq queries, Lk keys, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raymm.models.plan import Varlen

_aten = torch.ops.aten


def dense_forward(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Softmax attention of a dense block.

    Args:
        query: (n, H, Lq, D). key, value: (n, H, Lk, D).
        lengths: (n,) number of real keys of each sample; None where all Lk are.

    Returns:
        The output (n, H, Lq, D) and the log-sum-exp of the scaled scores (n, H, Lq) in float32.
    """
    mask = _key_mask(query, key, lengths)
    if has_cpu_kernel(query):
        return _aten._scaled_dot_product_flash_attention_for_cpu(  # type: ignore[no-any-return]
            query, key, value, attn_mask=mask
        )
    scores = _scores(query, key, mask)
    lse = scores.logsumexp(-1)
    return (scores - lse.unsqueeze(-1)).exp().to(value.dtype) @ value, lse


def dense_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `dense_forward` by query, key and value.

    `out` and `lse` may be those of a softmax over more keys than this block's; the gradients are then
    this block's share.
    """
    mask = _key_mask(query, key, lengths)
    if has_cpu_kernel(query):
        return _aten._scaled_dot_product_flash_attention_for_cpu_backward(  # type: ignore[no-any-return]
            grad, query, key, value, out, lse, 0.0, False, attn_mask=mask
        )
    weights = (_scores(query, key, mask) - lse.unsqueeze(-1)).exp()
    grad_value = weights.to(grad.dtype).transpose(-1, -2) @ grad
    shared = (grad * out).sum(-1, keepdim=True).float()
    grad_scores = (weights * ((grad @ value.transpose(-1, -2)).float() - shared)).to(query.dtype)
    grad_scores = grad_scores * query.shape[-1] ** -0.5
    return grad_scores @ key, grad_scores.transpose(-1, -2) @ query, grad_value


def has_cpu_kernel(tensor: Tensor) -> bool:
    """Whether PyTorch's fused CPU kernel can take this tensor."""
    return tensor.device.type == "cpu"


def _scores(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    hidden: Tensor = scores if mask is None else scores + mask.float()
    return hidden


def _key_mask(query: Tensor, key: Tensor, lengths: Tensor | None) -> Tensor | None:
    """(n, 1, Lq, Lk) additive mask that hides padded keys, broadcast over the queries."""
    if lengths is None:
        return None
    padded = torch.arange(key.shape[2], device=key.device) >= lengths[:, None]
    mask = torch.zeros(padded.shape, dtype=query.dtype, device=key.device)
    mask = mask.masked_fill_(padded, -torch.inf)
    return mask[:, None, None, :].expand(-1, 1, query.shape[2], -1)


def varlen_forward(
    query: Tensor, key: Tensor, value: Tensor, call: Varlen
) -> tuple[Tensor, Tensor]:
    """Softmax attention of many sequences of different lengths in one call (CUDA, 16 bit).

    Args:
        query: (Nq, H, D). key, value: (Nk, H, D).
        call: where each sequence ends.

    Returns:
        The output (Nq, H, D) and the log-sum-exp of the scaled scores (Nq, H) in float32.
    """
    out, lse, *_ = _aten._flash_attention_forward(
        query,
        key,
        value,
        call.query_ends,
        call.key_ends,
        call.longest_query,
        call.longest_key,
        0.0,
        False,
        False,
    )
    return out, lse.T


def varlen_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    call: Varlen,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `varlen_forward` by query, key and value; `out` and `lse` may be merged ones."""
    no_dropout = torch.zeros(2, dtype=torch.uint64, device=grad.device)
    return _aten._flash_attention_backward(  # type: ignore[no-any-return]
        grad,
        query,
        key,
        value,
        out,
        lse.T.contiguous(),
        call.query_ends,
        call.key_ends,
        call.longest_query,
        call.longest_key,
        0.0,
        False,
        no_dropout,
        no_dropout[:0],
    )
