"""One exchange of embeddings between ranks per step, with gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from raymm.models.embeddings import Embeddings


def world_size() -> int:
    """Ranks that share a step; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_embeddings(embeddings: Embeddings) -> Embeddings:
    """The global batch's embeddings on every rank, in one collective.

    Every rank must bring the same number of samples. Who has what travels along as one more component.

    The gradient that reaches this rank's share is multiplied by the number of ranks: every rank
    computes the same global loss, and data-parallel training averages parameter gradients, where the
    gradient of a global loss is their sum.
    """
    ranks = world_size()
    if ranks == 1:
        return embeddings
    flags = embeddings.present.unsqueeze(-1).to(embeddings.vectors.dtype)
    together = _Gather.apply(torch.cat([embeddings.vectors, flags], dim=-1), ranks)  # type: ignore[no-untyped-call]
    return Embeddings(together[..., :-1], together[..., -1].detach() > 0.5)


class _Gather(torch.autograd.Function):
    """(K, B, d) of each rank -> (K, ranks x B, d) on all."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, ranks: int) -> Tensor:
        ctx.ranks, ctx.places = ranks, share.shape[1]
        shares = share.new_empty(ranks, *share.shape)
        dist.all_gather(list(shares.unbind(0)), share.contiguous())
        return shares.transpose(0, 1).flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        start = dist.get_rank() * ctx.places
        return grads[0][:, start : start + ctx.places] * ctx.ranks, None
