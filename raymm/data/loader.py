"""The order in which batches come, and each rank's share of them.

A global batch does not depend on the number of ranks: rank r of W takes its places r, r + W, ...;
all ranks get equally many places, and those that no sample takes are padding (position -1).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.data.batch import Batch
from raymm.data.prepared import Split
from raymm.errors import ConfigError

Item = TypeVar("Item")


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Global batches in an epoch of training: complete ones, or a single incomplete one."""
    return max(1, split.size // batch_size)


def train_batches(
    split: Split, *, batch_size: int, seed: int, epoch: int, rank: int, world_size: int
) -> Iterator[Batch]:
    """One rank's shares of an epoch's global batches, in an order that (seed, epoch) decides.

    The incomplete last batch is dropped, unless it is the only one.

    Args:
        split: what to train on.
        batch_size: samples in a global batch.
        seed: of the cell.
        epoch: 0 or more.
        rank: of this worker.
        world_size: number of workers.

    Raises:
        ConfigError: the batch is smaller than the number of workers.
    """
    _check(batch_size, rank, world_size)
    order = np.random.default_rng([seed, epoch]).permutation(split.size).astype(np.int64)
    steps = steps_per_epoch(split, batch_size)
    batches = (order[step * batch_size : (step + 1) * batch_size] for step in range(steps))
    return (split.batch(share(batch, rank, world_size)) for batch in batches)


def ordered_batches(
    split: Split, *, batch_size: int, rank: int, world_size: int
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """One rank's shares of all samples in the split's order: (positions, batch) for evaluation.

    Positions are (B,), the samples of the split at the batch's places; -1 is padding.

    Raises:
        ConfigError: the batch is smaller than the number of workers.
    """
    _check(batch_size, rank, world_size)
    order = np.arange(split.size, dtype=np.int64)
    starts = range(0, split.size, batch_size)
    shares = (share(order[start : start + batch_size], rank, world_size) for start in starts)
    return ((positions, split.batch(positions)) for positions in shares)


def share(batch: NDArray[np.int64], rank: int, world_size: int) -> NDArray[np.int64]:
    """A rank's places of a global batch, (ceil(batch / world size),); -1 is padding."""
    places = np.full(-(-len(batch) // world_size), -1, dtype=np.int64)
    own = batch[rank::world_size]
    places[: len(own)] = own
    return places


def _check(batch_size: int, rank: int, world_size: int) -> None:
    if batch_size < world_size:
        raise ConfigError(
            f"batch_size = {batch_size} is smaller than the {world_size} workers that share it. "
            f"Give {world_size} or more, or use fewer workers."
        )
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank = {rank} is out of range. Give 0 to {world_size - 1}.")


def on_device(
    batches: Iterator[Batch], device: torch.device, *, ahead: bool
) -> Generator[Batch, None, None]:
    """The batches with their values on the device; close it if it is left before its end.

    Args:
        ahead: assemble the next batches in a thread while the caller works on the last one: where
            the device works by itself, or where rows have to be fetched from a disk. On a CPU with
            everything in memory a thread would only take the model's time.
    """
    if not ahead:
        yield from (batch.to(device) for batch in batches)
        return
    ready = (batch.pinned() for batch in batches) if device.type == "cuda" else batches
    with closing(prefetched(ready)) as waiting:
        yield from (batch.to(device) for batch in waiting)


def prefetched(items: Iterator[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same items, made ahead in a thread of their own while the caller works on the last one.

    An error in making an item is raised where that item is taken. Closing the iterator, or leaving
    a loop over it, ends the thread.

    Args:
        items: what to take from.
        depth: items that wait at most, 1 or more.
    """
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[Item] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:  # handed over, raised in the caller's thread
            put(error)

    thread = threading.Thread(target=work, name="raymm-prefetch", daemon=True)
    thread.start()
    try:
        while (entry := ready.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stopped.set()
        thread.join()
