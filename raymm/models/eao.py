"""Everything at Once (Shvetsova et al., 2022) as SMDF 3 has it.

No fusion tokens: the same transformer passes over each modality alone and each pair of modalities.
All passes are one stream. A pass over a pair exists only where both are present; where one is missing
it would be the other's own pass. The first block's norm and projections are the same in every pass,
so they are computed before the tokens are copied to the passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.config import ModelConfig
from raymm.data.batch import Batch
from raymm.data.blocks import like_lengths
from raymm.data.dataset import ModalitySpec
from raymm.models.channels import eao_pairs
from raymm.models.embeddings import Embeddings, mean_direction
from raymm.models.layers import TransformerBlock
from raymm.models.plan import Segment, on_device, plan_attention
from raymm.models.pooling import mean_tokens
from raymm.models.transformer import TokenTransformer


class EAO(TokenTransformer):
    """Embeddings of each modality and each pair; fusion is the mean of those present."""

    def __init__(
        self, specs: Sequence[ModalitySpec], config: ModelConfig, contrasted: str = "all"
    ) -> None:
        super().__init__(specs, config)
        self.couples = tuple(combinations(range(len(specs)), 2))
        self.members = tuple((index,) for index in range(len(specs))) + self.couples
        self.pairs = tuple(eao_pairs(self.members, contrasted))
        self.project = (
            nn.Linear(config.width, config.width) if config.eao_projection else nn.Identity()
        )

    def exists(self, presence: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(B, M) presence -> (M + pairs, B); a pair exists where both of its modalities do."""
        return np.stack([presence[:, list(members)].all(axis=1) for members in self.members])

    def fusion(self, embeddings: Embeddings) -> Tensor:
        """Mean of the L2-normalised embeddings that a sample has, (B, d)."""
        return mean_direction(embeddings)

    def forward(self, batch: Batch) -> Embeddings:
        """The embeddings of all passes over a batch."""
        passes = _Passes(batch, self.couples)
        first, *rest = self.transformer_blocks()
        tokens, qkv = first.project(self.tokenizer(batch))
        tokens, qkv = (copied(rows, passes.source) for rows in (tokens, qkv))
        tokens = first.attend(tokens, qkv, passes.plan)
        for block in rest:
            tokens = block(tokens, passes.plan)
        tokens = self.norm(tokens)
        counts = [samples * length for samples, length, _ in passes.shapes]
        streams = torch.split(tokens, counts)
        means = [
            mean_tokens(rows.view(samples, length, tokens.shape[1]), lengths)
            for rows, (samples, length, lengths) in zip(streams, passes.shapes, strict=True)
        ]
        return self.collect(self.project(torch.cat(means)), passes.places, batch)

    def transformer_blocks(self) -> list[TransformerBlock]:
        """The blocks, typed."""
        return [block for block in self.blocks if isinstance(block, TransformerBlock)]


def copied(rows: Tensor, source: Tensor) -> Tensor:
    """rows[source], (T, ...), whose gradient sums each row's copies in a fixed order.

    On the CPU `index_select` does so five times faster than indexing; on CUDA it would use atomic
    additions, whose order, and so their rounding, changes from run to run.
    """
    return rows.index_select(0, source) if rows.device.type == "cpu" else rows[source]


class _Passes:
    """The stream of all passes: where its rows come from, and what attends to what.

    Attributes:
        source: (T,) row of the unimodal stream that each row copies.
        plan: one segment for each pass of each block.
        shapes: each segment's samples, tokens of each, and (n,) real ones where any is padded.
        places: place of each segment's samples in the flattened (K, B) grid, in the stream's order.
    """

    def __init__(self, batch: Batch, couples: Sequence[tuple[int, int]]) -> None:
        segments, places, start = [], [], 0
        for block in batch.blocks:
            real = None if block.lengths is None else block.lengths.numpy()
            segments.append(Segment(block.size, start, block.length, None, real))
            places.append(block.samples.numpy() + block.modality * batch.size)
            start += block.size * block.length
        sources = [np.arange(start)]
        first, lengths = _rows_and_lengths(batch)
        for number, couple in enumerate(couples, start=batch.presence.shape[1]):
            for samples, rows, totals in _couple_blocks(batch, first, lengths, couple):
                count, length = rows.shape
                padded = bool((totals < length).any())
                segments.append(Segment(count, start, length, None, totals if padded else None))
                places.append(samples + number * batch.size)
                sources.append(rows.ravel())
                start += rows.size
        device = batch.device
        self.source = on_device(np.concatenate(sources), device)
        self.places = on_device(np.concatenate(places), device)
        self.plan = plan_attention(segments, start, device)
        self.shapes = [
            (s.samples, s.key_length, None if s.lengths is None else on_device(s.lengths, device))
            for s in segments
        ]


def _rows_and_lengths(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row in the unimodal stream, and tokens, of each (modality, sample); 0 where absent."""
    first = np.zeros(batch.presence.T.shape, dtype=np.int64)
    lengths = np.zeros_like(first)
    start = 0
    for block in batch.blocks:
        samples = block.samples.numpy()
        first[block.modality, samples] = start + np.arange(block.size) * block.length
        real = block.length if block.lengths is None else block.lengths.numpy()
        lengths[block.modality, samples] = real
        start += block.size * block.length
    return first, lengths


def _couple_blocks(
    batch: Batch,
    first: NDArray[np.int64],
    lengths: NDArray[np.int64],
    couple: tuple[int, int],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Samples that have both modalities, in blocks of like length.

    Yields:
        Samples (n,), rows of the unimodal stream (n, L) with the second modality's tokens after the
        first's, and real lengths (n,). Padding repeats the sample's first row.
    """
    one, two = couple
    samples = np.flatnonzero(batch.presence[:, one] & batch.presence[:, two])
    if not len(samples):
        return
    totals = lengths[one, samples] + lengths[two, samples]
    for chosen in like_lengths(totals):
        mine, real = samples[chosen], totals[chosen]
        place = np.arange(real.max())
        in_one = place < lengths[one, mine, None]
        in_two = ~in_one & (place < real[:, None])
        rows = np.repeat(first[one, mine, None], len(place), axis=1)
        rows += np.where(in_one, place, 0)
        second = first[two, mine, None] + place - lengths[one, mine, None]
        yield mine, np.where(in_two, second, rows), real
