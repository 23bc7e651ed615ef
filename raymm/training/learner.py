"""Model and loss as one module, and the precision they run in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raymm.config import CellConfig, Precision
from raymm.data.batch import Batch
from raymm.data.prepare import PreparedData
from raymm.losses.build import build_loss
from raymm.models.build import build_model
from raymm.models.embeddings import Embeddings


class Learner(nn.Module):
    """Model and loss as one module, so that data-parallel training sees all parameters."""

    def __init__(self, prepared: PreparedData, cell: CellConfig) -> None:
        super().__init__()
        self.model = build_model(prepared.specs, cell.model, cell.loss)
        self.loss = build_loss(cell.model.name, self.model.pairs, cell.loss)
        self.precision: Precision = cell.train.precision

    def embed(self, batch: Batch) -> Embeddings:
        """Embeddings of this rank's share of a batch."""
        with mixed_precision(batch.device, self.precision):
            embeddings: Embeddings = self.model(batch)
        return embeddings

    def forward(self, batch: Batch) -> Tensor:
        """Loss of the global batch."""
        loss: Tensor = self.loss(self.embed(batch))
        return loss


def data_parallel(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    """A module whose gradients are averaged over ranks, in buckets that leave during the backward pass.

    The first rank's buffers are sent out before each step only if one of them is state (a batch
    norm's statistics): positions and indices, which are not saved either, never change.
    """
    state = module.state_dict(keep_vars=True).keys() - dict(module.named_parameters()).keys()
    ids = [device] if device.type == "cuda" else None
    parallel = DistributedDataParallel(module, device_ids=ids)
    parallel.broadcast_buffers = bool(state)  # the argument's name depends on torch's version
    return parallel


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
