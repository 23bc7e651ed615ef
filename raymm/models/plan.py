"""Which queries of a ragged stream meet which keys: written on the host, once per forward pass.

Shapes: T tokens of the stream, n samples of a segment, Lq queries and Lk keys of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """Queries of n samples against the keys of a dense block of the same n samples.

    Attributes:
        samples: n.
        key_start: first row of the block in the stream; it spans n x key_length rows.
        key_length: Lk, padding included.
        query_rows: (n, Lq) rows of the queries; None where queries and keys are the same rows.
        lengths: (n,) real number of keys of each sample where any is padded, else None.
        partial: the queries have keys in other segments too.
    """

    samples: int
    key_start: int
    key_length: int
    query_rows: Index | None = None
    lengths: Index | None = None
    partial: bool = False

    @property
    def key_stop(self) -> int:
        """Row after the block's last."""
        return self.key_start + self.samples * self.key_length

    @property
    def query_length(self) -> int:
        """Lq."""
        return self.key_length if self.query_rows is None else self.query_rows.shape[1]

    def real_keys(self) -> tuple[Index, Index]:
        """Rows of the keys that are no padding, and how many each sample has (n,)."""
        place = np.arange(self.key_length)
        rows = self.key_start + np.arange(self.samples)[:, None] * self.key_length + place
        if self.lengths is None:
            return rows.ravel(), np.full(self.samples, self.key_length)
        return rows[place < self.lengths[:, None]], self.lengths


@dataclass(frozen=True)
class DeviceSegment:
    """A segment with its indices on the device: (n x Lq,) rows and (n,) lengths."""

    host: Segment
    query_rows: Tensor | None
    lengths: Tensor | None


@dataclass(frozen=True)
class BlockPlan:
    """One kernel call for each segment.

    Attributes:
        segments: every row is a query of one whole segment, or of one or more partial ones; a block's
            own segment comes before those that only read its keys.
        merged_start: the rows from here on are those of the partial segments.
    """

    segments: tuple[DeviceSegment, ...]
    merged_start: int


@dataclass(frozen=True)
class Varlen:
    """Sequences of one variable-length kernel call.

    Attributes:
        query_rows: (Nq,) stream row of each query; None where they are the stream itself.
        key_rows: (Nk,) stream row of each key; None where they are its first rows.
        query_ends, key_ends: (sequences + 1,) int32 cumulative lengths.
        longest_query, longest_key: of any sequence.
        keys: Nk.
    """

    query_rows: Tensor | None
    key_rows: Tensor | None
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int
    keys: int


@dataclass(frozen=True)
class PackedPlan:
    """Two variable-length kernel calls: every segment on itself, and fusion tokens on modalities.

    Attributes:
        own: queries and keys are the same rows.
        across: fusion queries against modalities' keys; None where there is no such segment.
        slots: (R, most) for each merged row, the numbers of its queries in `across`; their count
            where there are fewer.
        merged_start: the R rows from here on are merged.
    """

    own: Varlen
    across: Varlen | None
    slots: Tensor
    merged_start: int


AttentionPlan = BlockPlan | PackedPlan


def on_device(index: NDArray[np.generic], device: torch.device) -> Tensor:
    """Move a host index without waiting for the work that the device has under way."""
    tensor = torch.from_numpy(index)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def plan_attention(
    segments: Sequence[Segment], merged_start: int, device: torch.device
) -> AttentionPlan:
    """The plan for whichever kernel the device has.

    Args:
        segments: they cover the stream's rows in order; those with query rows of their own come last.
        merged_start: first row of the partial segments.
    """
    if device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        return _packed(segments, merged_start, device)
    return BlockPlan(
        tuple(
            DeviceSegment(
                segment,
                None
                if segment.query_rows is None
                else on_device(segment.query_rows.ravel(), device),
                None if segment.lengths is None else on_device(segment.lengths, device),
            )
            for segment in segments
            if segment.samples
        ),
        merged_start,
    )


def _packed(segments: Sequence[Segment], merged_start: int, device: torch.device) -> PackedPlan:
    own = [segment for segment in segments if segment.query_rows is None]
    across = [segment for segment in segments if segment.query_rows is not None]
    queries = np.concatenate(
        [_query_rows(segment) for segment in across] or [np.empty(0, np.int64)]
    )
    rows = max((segment.key_stop for segment in own), default=0) - merged_start
    return PackedPlan(
        _varlen(own, device),
        _varlen(across, device) if len(queries) else None,
        on_device(_slots(queries - merged_start, rows), device),
        merged_start,
    )


def _query_rows(segment: Segment) -> Index:
    return segment.real_keys()[0] if segment.query_rows is None else segment.query_rows.ravel()


def _varlen(segments: Sequence[Segment], device: torch.device) -> Varlen:
    found = [segment.real_keys() for segment in segments]
    key_counts = np.concatenate([counts for _, counts in found])
    own = segments[0].query_rows is None
    padded = any(segment.lengths is not None for segment in segments)
    key_rows = on_device(np.concatenate([rows for rows, _ in found]), device) if padded else None
    if own:
        query_rows, query_counts = key_rows, key_counts
    else:
        rows = np.concatenate([_query_rows(segment) for segment in segments])
        query_rows = on_device(rows, device)
        query_counts = np.concatenate([np.full(s.samples, s.query_length) for s in segments])
    return Varlen(
        query_rows,
        key_rows,
        on_device(_ends(query_counts), device),
        on_device(_ends(key_counts), device),
        int(query_counts.max(initial=0)),
        int(key_counts.max(initial=0)),
        int(key_counts.sum()),
    )


def _ends(counts: Index) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _slots(rows: Index, count: int) -> Index:
    """For each of `count` rows, the places where it stands in `rows`; len(rows) fills up."""
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    place = np.arange(len(rows)) - np.searchsorted(ascending, ascending)
    slots = np.full((count, int(place.max(initial=-1)) + 1), len(rows), dtype=np.int64)
    slots[ascending, place] = order
    return slots
