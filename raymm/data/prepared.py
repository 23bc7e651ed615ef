"""A data set made ready for one cell: masked, split, and standardised where batches are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.data.batch import Batch, Block
from raymm.data.blocks import like_lengths, padded_index
from raymm.data.dataset import Kind, ModalitySpec, Task
from raymm.data.mapped import MappedFile
from raymm.data.scaling import Scaling


@dataclass(frozen=True)
class Column:
    """One modality of a split: which rows of the data set's it has, and how they are scaled.

    Attributes:
        row_of: (n,) row of each sample of the split; -1 where it lacks the modality.
        values: the data set's: (rows, columns) for a table, (total vectors, width) for a sequence.
            They may be read-only, shared, or lie in a file: batches copy what they gather.
        offsets: (rows + 1,) first vector of each row of a sequence; None for a table.
        scaling: applied to what is gathered; None leaves it as it is.
        mapping: the file that the values lie in, if they are mapped.
    """

    kind: Kind
    row_of: NDArray[np.int64]
    values: NDArray[Any]
    offsets: NDArray[np.int64] | None
    scaling: Scaling | None = None
    mapping: MappedFile | None = None

    def blocks(self, modality: int, positions: NDArray[np.int64]) -> tuple[Block, ...]:
        """The blocks of a batch, at least one.

        Args:
            modality: index of the modality.
            positions: (B,) samples of the split; -1 is padding.
        """
        rows = np.where(positions >= 0, self.row_of[positions], -1)
        samples = np.flatnonzero(rows >= 0)
        rows = rows[samples]
        if self.offsets is None:
            return (Block(modality, torch.from_numpy(samples), self._gathered(rows)),)
        if not len(rows):
            none = torch.from_numpy(np.zeros((0, 1, self.values.shape[1]), self.values.dtype))
            return (Block(modality, torch.from_numpy(samples), none),)
        return self._sequences(modality, samples, rows, self.offsets)

    def _sequences(
        self,
        modality: int,
        samples: NDArray[np.int64],
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> tuple[Block, ...]:
        starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
        blocks = []
        for chosen in like_lengths(lengths):
            padded = self._padded if self.mapping is None else self._padded_from_file
            values = padded(starts[chosen], lengths[chosen])
            # Longest first: where the last is as long, there is no padding.
            even = lengths[chosen[0]] == lengths[chosen[-1]]
            real = None if even else torch.from_numpy(lengths[chosen])
            blocks.append(Block(modality, torch.from_numpy(samples[chosen]), values, real))
        return tuple(blocks)

    def _padded(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Tensor:
        """Scaled sequences, (n, L, width)."""
        index, padding = padded_index(starts, lengths)
        # The mean, which is 0 now, stands for a component that a vector lacks.
        values = self._gathered(index).nan_to_num_(nan=0.0)
        if padding.any():
            values[torch.from_numpy(padding)] = 0
        return values

    def _padded_from_file(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Tensor:
        """The same with one call to the system for each sequence.

        It reads what is needed and leaves no pages mapped; a page fault costs more than a call.
        """
        assert self.mapping is not None
        shape = (len(starts), int(lengths.max()), self.values.shape[1])
        read = np.empty(shape, dtype=np.float32)
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            self.mapping.read(self.values, start, read[row, :length])
        values = self._scaled(torch.from_numpy(read)).nan_to_num_(nan=0.0)
        for row, length in enumerate(lengths.tolist()):
            read[row, length:] = 0
        return values

    def _gathered(self, index: NDArray[np.int64]) -> Tensor:
        """A scaled copy of some rows or vectors, index.shape + (width,)."""
        if self.mapping is None or self.mapping.small:
            return self._scaled(torch.from_numpy(self.values.take(index, axis=0)))
        return self._scaled(torch.from_numpy(self.mapping.gather(self.values, index)))

    def _scaled(self, values: Tensor) -> Tensor:
        return values if self.scaling is None else self.scaling.apply_(values)


@dataclass(frozen=True)
class Split:
    """The samples of one split.

    Attributes:
        ids: (n,) sample ids, ascending.
        presence: (n, modalities) which sample has which modality; every row has one at least.
        labels: (n,) int64 class codes (-1: unlabelled) or float32 targets (NaN: unlabelled); None
            if the data set has no label.
        columns: the modalities, in order.
    """

    ids: NDArray[np.str_]
    presence: NDArray[np.bool_]
    labels: NDArray[np.int64] | NDArray[np.float32] | None
    columns: tuple[Column, ...]

    @property
    def size(self) -> int:
        """Samples in the split."""
        return len(self.ids)

    @property
    def is_on_disk(self) -> bool:
        """Whether making a batch reads from a disk: values lie in a file too large to stay mapped."""
        return any(each.mapping is not None and not each.mapping.small for each in self.columns)

    def batch(self, positions: NDArray[np.int64]) -> Batch:
        """Assemble a batch.

        Args:
            positions: (B,) samples of the split; -1 is padding, a place that no sample takes.
        """
        presence = self.presence[positions] & (positions >= 0)[:, None]
        blocks = (
            block
            for modality, column in enumerate(self.columns)
            for block in column.blocks(modality, positions)
        )
        return Batch(presence, tuple(blocks))


@dataclass(frozen=True)
class PreparedData:
    """What one cell trains and is measured on.

    Attributes:
        name: of the data set.
        fingerprint: of the data set.
        specs: what a model must know of each modality.
        label: name of the label; None if the data set has none, and then `task` is None too.
        classes: class names in code order; empty for regression.
        sparsity_natural: share of (sample, modality) pairs missing in the data itself.
        sparsity_masked: the same after the mask, over all samples.
        sparsity_realised: the same once samples left with nothing are dropped.
        samples_dropped: samples that the mask left with nothing.
    """

    name: str
    fingerprint: str
    specs: tuple[ModalitySpec, ...]
    train: Split
    validation: Split
    test: Split
    label: str | None
    task: Task | None
    classes: tuple[str, ...]
    sparsity_natural: float
    sparsity_masked: float
    sparsity_realised: float
    samples_dropped: int
