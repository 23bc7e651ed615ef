"""Attention over a ragged stream: dense blocks, partial results merged by their log-sum-exp.

A stream is a flat (T, ...) array of tokens in which every sample's tokens of one modality (or one
group of fusion tokens) stand together, block by block. `Segment`s say which queries meet which keys.
A query whose keys lie in one segment is finished there. A fusion token's keys are spread over several
(its own group, each present modality): each segment gives a partial result with the log of its
softmax's denominator, and partial results o_i with log-sum-exp l_i make

    l = log sum_i exp(l_i),    o = sum_i exp(l_i - l) o_i

the exact softmax over all its keys. Backward, each segment is differentiated against the merged
output and the merged log-sum-exp, which yields its exact share of the gradient. So nothing is
computed for an absent modality, and no mask is ever built for one.

Shapes: T tokens, H heads, D head size, n samples of a segment, Lq queries and Lk keys of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raymm.models import kernels


@dataclass(frozen=True)
class Segment:
    """Queries of n samples against the keys of a dense block of the same n samples.

    Attributes:
        samples: n.
        key_start: first row of the block in the stream; it spans n x key_length rows.
        key_length: Lk, padding included.
        query_length: Lq.
        query_rows: (n x Lq,) rows of the queries; None where queries and keys are the same rows.
        lengths: (n,) real number of keys of each sample where any is padded, else None.
        partial: the queries have keys in other segments too.
    """

    samples: int
    key_start: int
    key_length: int
    query_length: int
    query_rows: Tensor | None = None
    lengths: Tensor | None = None
    partial: bool = False

    @property
    def key_stop(self) -> int:
        """Row after the block's last."""
        return self.key_start + self.samples * self.key_length


@dataclass(frozen=True)
class AttentionPlan:
    """All segments of a layer, the same for every layer of a forward pass.

    Attributes:
        segments: every row is a query of one whole segment, or of one or more partial ones.
        merged_start: the rows from here on are those of the partial segments.
        packed: the same plan as index tensors of one variable-length call, for kernels that have it.
    """

    segments: tuple[Segment, ...]
    merged_start: int
    packed: kernels.PackedPlan | None = None


def on_device(index: Tensor, device: torch.device) -> Tensor:
    """Move a host index without waiting for the work that the device has under way."""
    if device.type != "cuda":
        return index.to(device)
    return index.pin_memory().to(device, non_blocking=True)


def ragged_attention(qkv: Tensor, plan: AttentionPlan) -> Tensor:
    """Softmax attention of every row of a stream over the keys its plan gives it.

    Args:
        qkv: (T, 3, H, D) queries, keys and values.
        plan: which rows meet.

    Returns:
        (T, H, D).
    """
    function = _PackedAttention if plan.packed is not None else _BlockAttention
    return function.apply(qkv, plan)  # type: ignore[no-any-return,no-untyped-call]


def _heads_first(rows: Tensor, samples: int) -> Tensor:
    """(n x L, H, D) rows as (n, H, L, D), without a copy where the rows are a slice."""
    return rows.unflatten(0, (samples, -1)).transpose(1, 2)


def _queries(rows: Tensor, segment: Segment) -> Tensor:
    """A segment's rows of a (T, H, ...) array, samples and heads first: (n, H, Lq, ...)."""
    if segment.query_rows is None:
        taken = rows[segment.key_start : segment.key_stop]
    else:
        taken = rows[segment.query_rows]
    return taken.unflatten(0, (segment.samples, segment.query_length)).transpose(1, 2)


class _BlockAttention(torch.autograd.Function):
    """One kernel call for each segment."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, plan: AttentionPlan) -> Tensor:
        tokens, _, heads, size = qkv.shape
        out = qkv.new_empty(tokens, heads, size)
        lse = torch.full((tokens, heads), -torch.inf, device=qkv.device, dtype=torch.float32)
        out[plan.merged_start :] = 0
        for segment in plan.segments:
            if segment.samples == 0:
                continue
            keys = qkv[segment.key_start : segment.key_stop]
            part, part_lse = kernels.dense_forward(
                _queries(qkv[:, 0], segment),
                _heads_first(keys[:, 1], segment.samples),
                _heads_first(keys[:, 2], segment.samples),
                segment.lengths,
            )
            _take_in(out, lse, segment, part.transpose(1, 2), part_lse.transpose(1, 2))
        ctx.save_for_backward(qkv, out, lse)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        qkv, out, lse = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_qkv = torch.empty_like(qkv)
        grad_qkv[ctx.plan.merged_start :] = 0
        for segment in ctx.plan.segments:
            if segment.samples == 0:
                continue
            keys = slice(segment.key_start, segment.key_stop)
            grad_query, grad_key, grad_value = kernels.dense_backward(
                _queries(grad, segment),
                _queries(qkv[:, 0], segment),
                _heads_first(qkv[keys, 1], segment.samples),
                _heads_first(qkv[keys, 2], segment.samples),
                _queries(out, segment),
                _queries(lse, segment),
                segment.lengths,
            )
            _put_back(grad_qkv, segment, grad_query, grad_key, grad_value)
        return grad_qkv, None


def _take_in(out: Tensor, lse: Tensor, segment: Segment, part: Tensor, part_lse: Tensor) -> None:
    """Write a segment's result, or merge it with what its queries have so far."""
    part, part_lse = part.flatten(0, 1), part_lse.flatten(0, 1)
    own = slice(segment.key_start, segment.key_stop)
    rows: slice | Tensor = own if segment.query_rows is None else segment.query_rows
    if not segment.partial:
        out[rows], lse[rows] = part, part_lse
        return
    before = lse[rows]
    after = torch.logaddexp(before, part_lse)
    old_share, new_share = (before - after).exp(), (part_lse - after).exp()
    merged = out[rows] * old_share.unsqueeze(-1) + part * new_share.unsqueeze(-1)
    out[rows] = merged.to(out.dtype)
    lse[rows] = after


def _put_back(
    grad_qkv: Tensor, segment: Segment, grad_query: Tensor, grad_key: Tensor, grad_value: Tensor
) -> None:
    """Add a segment's gradients to the stream's.

    Plans hold a block's own segment before those that only read its keys, so that the first write
    to rows below `merged_start` may overwrite.
    """
    own = grad_qkv[segment.key_start : segment.key_stop]
    shape = (segment.samples, -1)
    first = segment.query_rows is None and not segment.partial
    for part, grad in ((1, grad_key), (2, grad_value)):
        rows = own[:, part].unflatten(0, shape)
        rows.copy_(grad.transpose(1, 2)) if first else rows.add_(grad.transpose(1, 2))
    grad_rows = grad_query.transpose(1, 2).flatten(0, 1)
    if segment.query_rows is not None:
        grad_qkv[:, 0].index_add_(0, segment.query_rows, grad_rows)
    elif first:
        own[:, 0].copy_(grad_rows)
    else:
        own[:, 0].add_(grad_rows)


class _PackedAttention(torch.autograd.Function):
    """All segments in one variable-length kernel call (CUDA, 16-bit)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, plan: AttentionPlan) -> Tensor:
        assert plan.packed is not None
        out, lse = kernels.packed_forward(qkv, plan.packed)
        ctx.save_for_backward(qkv, out, lse)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        qkv, out, lse = ctx.saved_tensors
        return kernels.packed_backward(grads[0], qkv, out, lse, ctx.plan.packed), None
