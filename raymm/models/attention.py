"""Attention over a ragged stream: partial results merged by their log-sum-exp.

A stream is a flat (T, ...) array of tokens in which every sample's tokens of one modality (or one
group of fusion tokens) stand together, block by block. A query whose keys lie in one segment is
finished there. A fusion token's keys are spread over several (its own group, each present modality):
each gives a partial result o_i with the log of its softmax's denominator l_i, and

    l = log sum_i exp(l_i),    o = sum_i exp(l_i - l) o_i

is the exact softmax over all its keys. Backward, each segment is differentiated against the merged
output and the merged log-sum-exp, which yields its exact share of the gradient. So nothing is
computed for an absent modality, and no mask is ever built for one.

Shapes: T tokens, H heads, D head size, n samples of a segment, Lq queries and Lk keys of each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from raymm.models import kernels
from raymm.models.plan import AttentionPlan, BlockPlan, DeviceSegment, PackedPlan, Varlen


def ragged_attention(qkv: Tensor, plan: AttentionPlan) -> Tensor:
    """Softmax attention of every row of a stream over the keys its plan gives it.

    Args:
        qkv: (T, 3, H, D) queries, keys and values.
        plan: which rows meet.

    Returns:
        (T, H, D).
    """
    function = _BlockAttention if isinstance(plan, BlockPlan) else _PackedAttention
    return function.apply(qkv, plan)  # type: ignore[no-any-return,no-untyped-call]


class _BlockAttention(torch.autograd.Function):
    """One dense kernel call for each segment."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, plan: BlockPlan) -> Tensor:
        tokens, _, heads, size = qkv.shape
        out = qkv.new_empty(tokens, heads, size)
        lse = torch.full((tokens, heads), -torch.inf, device=qkv.device, dtype=torch.float32)
        lse = lse.to(torch.promote_types(qkv.dtype, torch.float32))
        out[plan.merged_start :] = 0
        for segment in plan.segments:
            key, value = _keys(qkv, segment)
            part, part_lse = kernels.dense_forward(
                _queries(qkv[:, 0], segment), key, value, segment.lengths
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
            key, value = _keys(qkv, segment)
            shares = kernels.dense_backward(
                _queries(grad, segment),
                _queries(qkv[:, 0], segment),
                key,
                value,
                _queries(out, segment),
                _queries(lse, segment),
                segment.lengths,
            )
            _put_back(grad_qkv, segment, *shares)
        return grad_qkv, None


def _keys(qkv: Tensor, segment: DeviceSegment) -> tuple[Tensor, Tensor]:
    """A segment's keys and values, without a copy: (n, H, Lk, D) each."""
    host = segment.host
    rows = qkv[host.key_start : host.key_stop]
    rows = rows.view(host.samples, host.key_length, *qkv.shape[1:])
    return rows[:, :, 1].transpose(1, 2), rows[:, :, 2].transpose(1, 2)


def _queries(rows: Tensor, segment: DeviceSegment) -> Tensor:
    """A segment's rows of a (T, H, ...) array, samples and heads first: (n, H, Lq, ...)."""
    host = segment.host
    taken = (
        rows[host.key_start : host.key_stop]
        if segment.query_rows is None
        else rows[segment.query_rows]
    )
    return taken.view(host.samples, host.query_length, *rows.shape[1:]).transpose(1, 2)


def _take_in(
    out: Tensor, lse: Tensor, segment: DeviceSegment, part: Tensor, part_lse: Tensor
) -> None:
    """Write a segment's result, or merge it with what its queries have so far."""
    part, part_lse = part.flatten(0, 1), part_lse.flatten(0, 1)
    own = slice(segment.host.key_start, segment.host.key_stop)
    rows: slice | Tensor = own if segment.query_rows is None else segment.query_rows
    if not segment.host.partial:
        out[rows], lse[rows] = part, part_lse
        return
    before = lse[rows]
    after = torch.logaddexp(before, part_lse)
    old_share, new_share = (before - after).exp(), (part_lse - after).exp()
    merged = out[rows] * old_share.unsqueeze(-1) + part * new_share.unsqueeze(-1)
    out[rows] = merged.to(out.dtype)
    lse[rows] = after


def _put_back(
    grad_qkv: Tensor,
    segment: DeviceSegment,
    grad_query: Tensor,
    grad_key: Tensor,
    grad_value: Tensor,
) -> None:
    """Add a segment's gradients to the stream's; the first to write a block's rows overwrites."""
    host = segment.host
    own = grad_qkv[host.key_start : host.key_stop]
    first = segment.query_rows is None and not host.partial
    for part, grad in ((1, grad_key), (2, grad_value)):
        rows = own[:, part].view(host.samples, host.key_length, *own.shape[2:])
        rows.copy_(grad.transpose(1, 2)) if first else rows.add_(grad.transpose(1, 2))
    grad_rows = grad_query.transpose(1, 2).flatten(0, 1)
    if segment.query_rows is not None:
        grad_qkv[:, 0].index_add_(0, segment.query_rows, grad_rows)
    elif first:
        own[:, 0].copy_(grad_rows)
    else:
        own[:, 0].add_(grad_rows)


class _PackedAttention(torch.autograd.Function):
    """Two variable-length kernel calls whatever the number of modalities (CUDA, 16 bit)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, plan: PackedPlan) -> Tensor:
        out, lse = kernels.varlen_forward(*_sides(qkv, plan.own), plan.own)
        out, lse = _spread(out, lse, plan.own, len(qkv))
        if plan.across is not None:
            part, part_lse = kernels.varlen_forward(*_sides(qkv, plan.across), plan.across)
            _merge_slots(out, lse, part, part_lse, plan)
        ctx.save_for_backward(qkv, out, lse)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        qkv, out, lse = ctx.saved_tensors
        plan: PackedPlan = ctx.plan
        grad = grads[0].contiguous()
        shares = kernels.varlen_backward(
            _rows(grad, plan.own.query_rows),
            *_sides(qkv, plan.own),
            _rows(out, plan.own.query_rows),
            _rows(lse, plan.own.query_rows),
            plan.own,
        )
        grad_qkv = _stacked(qkv, plan.own, shares)
        if plan.across is not None:
            rows = plan.across.query_rows
            grad_query, *others = kernels.varlen_backward(
                _rows(grad, rows),
                *_sides(qkv, plan.across),
                _rows(out, rows),
                _rows(lse, rows),
                plan.across,
            )
            nothing = grad_query.new_zeros(1, *grad_query.shape[1:])
            by_slot = torch.cat([grad_query, nothing])[plan.slots]
            grad_qkv[plan.merged_start :, 0] += by_slot.sum(1)
            for part, grad_keys in enumerate(others, start=1):
                if plan.across.key_rows is None:
                    grad_qkv[: plan.across.keys, part] += grad_keys
                else:
                    grad_qkv[:, part].index_add_(0, plan.across.key_rows, grad_keys)
        return grad_qkv, None


def _rows(rows: Tensor, index: Tensor | None) -> Tensor:
    return rows if index is None else rows[index]


def _sides(qkv: Tensor, call: Varlen) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (Nq, H, D), keys and values (Nk, H, D) of a call."""
    query = _rows(qkv[:, 0], call.query_rows)
    if call.key_rows is None:
        return query, qkv[: call.keys, 1], qkv[: call.keys, 2]
    return query, qkv[:, 1][call.key_rows], qkv[:, 2][call.key_rows]


def _spread(out: Tensor, lse: Tensor, call: Varlen, tokens: int) -> tuple[Tensor, Tensor]:
    """Results of the real rows back at their rows of the stream; padding gets zeros."""
    if call.query_rows is None:
        return out, lse
    all_out = out.new_zeros(tokens, *out.shape[1:])
    all_lse = lse.new_zeros(tokens, *lse.shape[1:])
    return all_out.index_copy_(0, call.query_rows, out), all_lse.index_copy_(
        0, call.query_rows, lse
    )


def _stacked(qkv: Tensor, call: Varlen, shares: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Gradients by query, key and value of the `own` call as one (T, 3, H, D)."""
    together = torch.stack(shares, dim=1)
    if call.query_rows is None:
        return together
    return torch.zeros_like(qkv).index_copy_(0, call.query_rows, together)


def _merge_slots(
    out: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor, plan: PackedPlan
) -> None:
    """Merge the fusion rows' partial results into `out` and `lse`, in a fixed order of summation."""
    part = torch.cat([part, part.new_zeros(1, *part.shape[1:])])
    part_lse = torch.cat([part_lse, part_lse.new_full((1, part_lse.shape[1]), -torch.inf)])
    start = plan.merged_start
    every = torch.cat([lse[start:].unsqueeze(1), part_lse[plan.slots]], dim=1)
    after = every.logsumexp(1)
    weight = (every - after.unsqueeze(1)).exp().unsqueeze(-1)
    merged = weight[:, 0] * out[start:] + (weight[:, 1:] * part[plan.slots]).sum(1)
    out[start:] = merged.to(out.dtype)
    lse[start:] = after
