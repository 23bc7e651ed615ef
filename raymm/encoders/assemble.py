"""From blocks to a packed data set, which every cell of every sweep maps into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Kind
from raymm.data.pack_folder import is_there
from raymm.data.pack_writer import PackWriter
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.pictures import refuse_many_unreadable
from raymm.encoders.blocks import BLOCK, numbered
from raymm.encoders.record import RECORD, VERSION, Outcome, Record, Source, check_same, read_record
from raymm.encoders.work import Work, blocks_of
from raymm.errors import DataError
from raymm.storage.address import open_address

ROWS = 1024
"""Samples that are put together at a time."""
BLOCKS_HELD = 64


def existing(to: str, wanted: Sequence[Source]) -> Record | None:
    """What is at `to` already: the cache that is wanted, or nothing.

    Raises:
        DataError: something else is there.
        StorageError: the address cannot be used.
    """
    if not is_there(to):
        return None
    system, root = open_address(to)
    if not system.exists(f"{root}/{RECORD}"):
        raise DataError(
            f"{to} is there already and holds no embeddings. Give another --out, or remove it."
        )
    record = read_record(system.cat_file(f"{root}/{RECORD}").decode(), to)
    check_same(record, tuple(wanted), to)
    return record


def assemble(pairs: Pairs, works: Sequence[Work], to: str) -> Record:
    """Make the data set from its blocks, and remove them.

    Raises:
        DataError: a block is damaged, too many images do not decode, or it cannot be written.
    """
    outcomes = tuple(_outcome(pairs, work) for work in works)
    record = Record(version=VERSION, pairs=pairs.name, modalities=outcomes)
    _pack(pairs, works, record, to)
    system, root = open_address(blocks_of(to))
    system.rm(root, recursive=True)
    return record


def _outcome(pairs: Pairs, work: Work) -> Outcome:
    """What became of a modality.

    Raises:
        DataError: too many images do not decode.
    """
    blocks = [work.folder.read(number) for number, _ in numbered(len(work.firsts))]
    lengths = np.concatenate([block.lengths for block in blocks])
    lost = pairs.ids[work.items.rows[lengths[work.number] == 0]]
    where = f"{pairs.name}, modality '{work.items.name}'"
    refuse_many_unreadable(lost.tolist(), len(work.items.values), where)
    cut = sum(block.truncated for block in blocks)
    return Outcome(source=work.source, truncated=cut, unreadable=tuple(lost.tolist()))


def _pack(pairs: Pairs, works: Sequence[Work], record: Record, to: str) -> None:
    with PackWriter(to, name=pairs.name, licence=pairs.licence) as writer:
        for work in works:
            name = work.source.modality
            kind: Kind = "sequence" if work.source.tokens else "table"
            writer.modality(name, kind, [str(place) for place in range(work.width)])
            for rows, values, lengths in _rows(work):
                ids = pairs.ids[rows].tolist()
                writer.append(name, ids, values, lengths if work.source.tokens else None)
        for label in pairs.labels:
            # The first is the finest, such as CIFAR-100's classes before its coarse ones.
            writer.label(label, pairs.ids.tolist(), default=label is pairs.labels[0])
        writer.attach(RECORD, record.text())


def _rows(
    work: Work,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]]:
    """Samples that have vectors, in order, some at a time: rows, values and lengths."""
    read = lru_cache(BLOCKS_HELD)(work.folder.read)
    for start in range(0, len(work.number), ROWS):
        numbers = work.number[start : start + ROWS]
        values: list[NDArray[np.float32]] = []
        lengths = np.zeros(len(numbers), dtype=np.int64)
        for place, number in enumerate(numbers.tolist()):
            block = read(number // BLOCK)
            inside = number % BLOCK
            first = int(block.lengths[:inside].sum())
            lengths[place] = block.lengths[inside]
            values.append(block.values[first : first + lengths[place]])
        there = np.flatnonzero(lengths)
        if len(there):
            rows = work.items.rows[start : start + ROWS][there]
            yield rows, np.concatenate(values), lengths[there]
