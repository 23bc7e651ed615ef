"""A batch: per modality only the samples that have it, in dense blocks.

Shapes: B samples in the batch, M modalities, n samples in a block, L tokens, w components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """Samples of one modality that are computed together as a dense array.

    A table is one block (L columns). A sequence modality is cut into blocks of like length, so that
    padding stays under a tenth. A modality that nobody in the batch has is one block with n = 0, so
    that its parameters still take part in the step.

    Attributes:
        modality: index of the modality.
        samples: (n,) int64 positions in the batch, always on the host: layouts are made from them.
        values: (n, L) for a table, (n, L, w) for a sequence; NaN marks a missing value of a table.
        lengths: (n,) int64 real length of each row where any is shorter than L, else None; on the host.
    """

    modality: int
    samples: Tensor
    values: Tensor
    lengths: Tensor | None = None

    @property
    def size(self) -> int:
        """Samples in the block."""
        return int(self.values.shape[0])

    @property
    def length(self) -> int:
        """Tokens of each sample, padding included."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Batch:
    """What one rank computes in one step.

    Attributes:
        presence: (B, M) host array, which sample has which modality. All False in a row: padding,
            a place in this rank's share that the global batch does not fill.
        blocks: at least one for each modality, in the modalities' order.
    """

    presence: NDArray[np.bool_]
    blocks: tuple[Block, ...]

    @property
    def size(self) -> int:
        """Places for samples in the batch."""
        return int(self.presence.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.blocks[0].values.device

    def pinned(self) -> Batch:
        """The same batch with its values in memory that a GPU copies from by itself."""
        return self._with([block.values.pin_memory() for block in self.blocks])

    def to(self, device: torch.device) -> Batch:
        """The same batch with its values on `device`; copies from pinned memory do not block."""
        return self._with([block.values.to(device, non_blocking=True) for block in self.blocks])

    def _with(self, values: Sequence[Tensor]) -> Batch:
        pairs = zip(self.blocks, values, strict=True)
        return Batch(self.presence, tuple(replace(block, values=new) for block, new in pairs))
