from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from raymm.config import DataConfig
from raymm.data.batch import Batch
from raymm.data.loader import (
    on_device,
    ordered_batches,
    prefetched,
    share,
    steps_per_epoch,
    train_batches,
)
from raymm.data.prepare import prepare
from raymm.errors import ConfigError
from tests.data.test_prepare import DATA

SPLIT = prepare(DATA, DataConfig(sparsity=0.3)).train


def values(batch: Batch) -> list[float]:
    """A number that tells each row of the third modality apart, in no order."""
    return sorted(batch.blocks[-1].values[:, 0].tolist())


def epoch(world_size: int, batch_size: int, number: int = 0) -> list[list[float]]:
    ranks = [
        train_batches(
            SPLIT, batch_size=batch_size, seed=5, epoch=number, rank=rank, world_size=world_size
        )
        for rank in range(world_size)
    ]
    return [
        sorted(value for part in step for value in values(part))
        for step in zip(*ranks, strict=True)
    ]


@pytest.mark.parametrize("batch_size", [7, 16, 1000])
def test_global_batches_do_not_depend_on_the_number_of_ranks(batch_size: int) -> None:
    alone = epoch(1, batch_size)
    assert len(alone) == steps_per_epoch(SPLIT, batch_size) == max(1, SPLIT.size // batch_size)
    assert epoch(2, batch_size) == alone and epoch(4, batch_size) == alone


def test_an_epoch_takes_no_sample_twice_and_epochs_differ() -> None:
    first = [value for batch in epoch(1, 8) for value in batch]
    assert len(first) == len(set(first))
    assert epoch(1, 8) == epoch(1, 8) and epoch(1, 8) != epoch(1, 8, number=1)


def test_all_ranks_have_equally_many_places_and_nearly_equal_shares() -> None:
    for size in range(1, 20):
        for world_size in (1, 2, 4):
            shares = [share(np.arange(size), rank, world_size) for rank in range(world_size)]
            assert {len(part) for part in shares} == {-(-size // world_size)}
            taken = np.concatenate(shares)
            assert sorted(taken[taken >= 0].tolist()) == list(range(size))
            filled = [int((part >= 0).sum()) for part in shares]
            assert max(filled) - min(filled) <= 1


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluation_drops_nothing_and_keeps_the_order(world_size: int) -> None:
    seen: list[int] = []
    ranks = [
        ordered_batches(SPLIT, batch_size=9, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for step in zip(*ranks, strict=True):
        for positions, batch in step:
            assert batch.size == len(positions)
            np.testing.assert_array_equal(batch.presence[positions < 0], False)
            np.testing.assert_array_equal(
                batch.presence[positions >= 0], SPLIT.presence[positions[positions >= 0]]
            )
        places = np.stack([positions for positions, _ in step]).T.ravel()
        seen += places[places >= 0].tolist()
    assert seen == list(range(SPLIT.size))


def test_mistakes_are_found_before_the_first_batch() -> None:
    for batches in (train_batches, ordered_batches):
        settings = {} if batches is ordered_batches else {"seed": 0, "epoch": 0}
        with pytest.raises(ConfigError, match="batch_size = 3 is smaller than the 4 workers"):
            batches(SPLIT, batch_size=3, rank=0, world_size=4, **settings)
        with pytest.raises(ConfigError, match="rank = 4"):
            batches(SPLIT, batch_size=8, rank=4, world_size=4, **settings)


def test_prefetched_gives_the_same_items_ahead_of_need() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            made.append(item)
            yield item

    ahead = prefetched(items(), depth=2)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # One taken, two waiting, one in the maker's hand.
    assert made == [0, 1, 2, 3]
    assert list(ahead) == list(range(1, 10))


def test_prefetched_hands_over_errors_and_ends_its_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("spoilt")

    ahead = prefetched(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="spoilt"):
        next(ahead)
    left = prefetched(iter(range(1000)))
    next(left)
    left.close()
    assert not [t for t in threading.enumerate() if t.name == "raymm-prefetch"]


@pytest.mark.parametrize("ahead", [False, True])
def test_batches_made_ahead_are_the_same_and_leave_no_thread(ahead: bool) -> None:
    settings: dict[str, Any] = {"batch_size": 4, "seed": 0, "epoch": 1, "rank": 0, "world_size": 1}
    plain = list(train_batches(SPLIT, **settings))
    ready = on_device(train_batches(SPLIT, **settings), torch.device("cpu"), ahead=ahead)
    for one, other in zip(plain, ready, strict=True):
        np.testing.assert_array_equal(one.presence, other.presence)
        for a, b in zip(one.blocks, other.blocks, strict=True):
            torch.testing.assert_close(a.values, b.values, equal_nan=True, rtol=0, atol=0)
    left = on_device(train_batches(SPLIT, **settings), torch.device("cpu"), ahead=ahead)
    next(left)
    left.close()
    assert not [t for t in threading.enumerate() if t.name == "raymm-prefetch"]
