"""Embeddings block by block: each is a file of its own, so what was computed is never lost.

A block is some hundred different items of one modality. It appears under its name at once and whole,
so a run that was killed goes on with those that are missing, and several machines write at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raymm.data.sources.pairs.pairs import Item, Picture
from raymm.data.sources.pairs.pictures import decode_all
from raymm.encoders.base import Encoded, Encoder
from raymm.errors import DataError
from raymm.storage.address import is_local, open_address, words

BLOCK = 256
"""Different items in a block: seconds of work for one core, some megabytes."""


@dataclass(frozen=True)
class Block:
    """Vectors of some items.

    Attributes:
        values: (vectors, width).
        lengths: (items,) vectors of each; 0 for an image that does not decode.
        truncated: texts that were cut.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]
    truncated: int


def compute(encoder: Encoder, items: Sequence[Item], *, tokens: bool) -> Block:
    """Encode items; images that do not decode have no vectors."""
    if encoder.domain == "text":
        return _of(encoder.encode(items, tokens=tokens), len(items))
    step = encoder.at_a_time  # no more are held decoded
    parts = [
        _pictures(encoder, cast(Sequence[Picture], items[start : start + step]), tokens)
        for start in range(0, len(items), step)
    ]
    values = np.concatenate([part.values for part in parts])
    return Block(values, np.concatenate([part.lengths for part in parts]), 0)


def vectors_of(
    encoder: Encoder,
    items: Sequence[Item],
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Pooled vectors of many items, (n, width), block by block.

    Args:
        encoder: of their domain.
        items: texts, or pictures that all decode.
        progress: told how many are done with.

    Raises:
        DataError: an image does not decode.
    """
    parts = [np.zeros((0, encoder.width), np.float32)]
    for _, place in numbered(len(items)):
        parts.append(encoder.encode(items[place]).values)
        progress(place.stop)
    return np.concatenate(parts)


def _pictures(encoder: Encoder, pictures: Sequence[Picture], tokens: bool) -> Block:
    decoded = decode_all(pictures)
    block = _of(encoder.encode(decoded.pictures, tokens=tokens), len(decoded.pictures))
    lengths = np.zeros(len(pictures), dtype=np.int64)
    lengths[np.setdiff1d(np.arange(len(pictures)), decoded.failed)] = block.lengths
    return Block(block.values, lengths, 0)


def _of(encoded: Encoded, count: int) -> Block:
    lengths = np.ones(count, np.int64) if encoded.offsets is None else np.diff(encoded.offsets)
    return Block(encoded.values, lengths, encoded.truncated)


class BlockFolder:
    """The blocks of one modality: Arrow files in a local folder, or at an address such as s3://."""

    def __init__(self, address: str) -> None:
        """Name the folder; it is made when the first block is written."""
        self.address = address.rstrip("/")

    def done(self) -> set[int]:
        """Numbers of the blocks that are there.

        Raises:
            DataError: the folder cannot be listed.
        """
        try:
            system, root = open_address(self.address)
            names = [str(name) for name in system.ls(root, detail=False)]
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise self._failed("listed", error) from error
        stems = [name.rsplit("/", 1)[-1] for name in names if name.endswith(".arrow")]
        return {int(stem.removesuffix(".arrow")) for stem in stems}

    def write(self, number: int, block: Block) -> None:
        """Write a block.

        Raises:
            DataError: it cannot be written.
        """
        content = _bytes(block)
        try:
            system, root = open_address(self.address)
            if not is_local(system):
                system.makedirs(root, exist_ok=True)
                system.pipe_file(f"{root}/{number:06d}.arrow", content)  # all or nothing
                return
            Path(root).mkdir(parents=True, exist_ok=True)
            aside = Path(root, f".{number:06d}.{uuid4().hex}")
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(Path(root, f"{number:06d}.arrow"))
        except OSError as error:
            raise self._failed("written", error) from error

    def read(self, number: int) -> Block:
        """Read a block.

        Raises:
            DataError: it is missing or damaged.
        """
        try:
            system, root = open_address(self.address)
            content = system.cat_file(f"{root}/{number:06d}.arrow")
            with pa.ipc.open_file(pa.py_buffer(content)) as reader:
                return _block(reader.get_batch(0))
        except Exception as error:  # of the storage, and of many kinds of a damaged file
            raise self._failed("read", error) from error

    def _failed(self, what: str, error: Exception) -> DataError:
        return DataError(
            f"The blocks in {self.address} cannot be {what}: {words(error)}. See "
            "that there is room and that you may write there; blocks that are there are kept. A "
            "damaged one may be removed: it is computed again."
        )


def _bytes(block: Block) -> bytes:
    offsets = np.concatenate([[0], np.cumsum(block.lengths)])
    flat = pa.array(np.ascontiguousarray(block.values).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, block.values.shape[1])
    column = pa.LargeListArray.from_arrays(pa.array(offsets), vectors)
    schema = pa.schema({"values": column.type}, {"truncated": str(block.truncated)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _block(batch: pa.RecordBatch) -> Block:
    batch.validate(full=True)
    column = batch.column("values")
    width = column.type.value_type.list_size
    values = column.values.values.to_numpy().reshape(-1, width)
    lengths = np.diff(column.offsets.to_numpy()).astype(np.int64)
    return Block(values, lengths, int(batch.schema.metadata[b"truncated"]))


def numbered(count: int) -> Iterator[tuple[int, slice]]:
    """Number and place of each block of `count` items."""
    for number, start in enumerate(range(0, count, BLOCK)):
        yield number, slice(start, min(start + BLOCK, count))
