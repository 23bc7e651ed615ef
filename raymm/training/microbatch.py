"""A step in micro-batches with the gradient of the whole step, for what does not fit into memory.

The loss compares samples over the global batch, so gradients of losses of micro-batches do not add up
to its gradient. Instead (GradCache: Gao et al., "Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup", 2021): embed all micro-batches without a graph, take the loss of all embeddings
and its gradient with respect to them, then embed each micro-batch again with a graph and send its
share of that gradient through it. Activations of one micro-batch are held at a time; the model runs
forward twice. The loss itself computes its similarities twice instead of keeping them.

Shapes: K embeddings, B places of this rank's share of a batch, d components.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raymm.data.batch import Batch, Block
from raymm.losses.gather import world_size
from raymm.models.embeddings import Embeddings
from raymm.training.learner import Learner


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The batch's places in order, in at most `parts` batches of like size."""
    size = -(-batch.size // parts)
    starts = range(0, batch.size, size)
    return [_places(batch, start, min(start + size, batch.size)) for start in starts]


def _places(batch: Batch, start: int, end: int) -> Batch:
    kept: list[Block] = []
    for _, blocks in itertools.groupby(batch.blocks, key=lambda block: block.modality):
        parts = [_block_places(block, start, end) for block in blocks]
        # A modality keeps one block, empty if need be, so that its parameters take part.
        kept += [part for part in parts if part.size] or parts[:1]
    return Batch(batch.presence[start:end], tuple(kept))


def _block_places(block: Block, start: int, end: int) -> Block:
    rows = ((block.samples >= start) & (block.samples < end)).nonzero()[:, 0]
    return replace(
        block,
        samples=block.samples[rows] - start,
        values=block.values[rows.to(block.values.device)],
        lengths=None if block.lengths is None else block.lengths[rows],
    )


@dataclass(frozen=True)
class _RandomState:
    """Where the random generators stand: the second pass has to draw what the first has drawn."""

    host: Tensor
    device: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> _RandomState:
        on_gpu = device.type == "cuda"
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if on_gpu else None)

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.host)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device, device)


def backward_in_parts(learner: Learner, batch: Batch, parts: int) -> Tensor:
    """The loss of the global batch; leaves its gradient in the parameters, as one step's would be.

    With several ranks every rank calls it with its share, equally large, and gradients are averaged
    over the ranks as data-parallel training does; `learner` must not be wrapped for that itself.

    Args:
        parts: micro-batches that this rank's share is cut into, at most.

    Returns:
        The loss, a scalar without graph.
    """
    micro_batches = split_batch(batch, parts)
    states, cached = [], []
    for part in micro_batches:
        states.append(_RandomState.now(batch.device))
        with torch.no_grad():
            cached.append(learner.embed(part))
    vectors = torch.cat([each.vectors for each in cached], 1).requires_grad_()
    present = torch.cat([each.present for each in cached], 1)
    learner.loss.frugal = True
    loss: Tensor = learner.loss(Embeddings(vectors, present))
    torch.autograd.backward(loss)
    assert vectors.grad is not None
    shares = torch.split(vectors.grad, [part.size for part in micro_batches], dim=1)
    after = _RandomState.now(batch.device)
    for part, state, share in zip(micro_batches, states, shares, strict=True):
        state.restore(batch.device)
        torch.autograd.backward(learner.embed(part).vectors, share)
    after.restore(batch.device)
    _average_gradients(list(learner.parameters()))
    return loss.detach()


def _average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """The mean over the ranks of every parameter's gradient, in one exchange."""
    ranks = world_size()
    grads = [each.grad for each in parameters if each.grad is not None]
    if ranks == 1 or not grads:
        return
    together = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(together)
    together /= ranks
    means = torch.split(together, [grad.numel() for grad in grads])
    for grad, mean in zip(grads, means, strict=True):
        grad.copy_(mean.view_as(grad))
