"""Which errors end a cell for good, and after which it is trained again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raymm.errors import ConfigError, StorageError, TrainingError
from raymm.training.worker import Seat, kind_of


def seat(workers: int) -> Seat:
    return Seat(0, "x", 0, workers, torch.device("cpu"))


def of_a_file_that_is_not_there(folder: Path) -> OSError:
    with pytest.raises(FileNotFoundError) as caught:
        (folder / "not there").read_bytes()
    return caught.value


@pytest.mark.parametrize("workers", [1, 2])
def test_a_storage_that_could_not_be_reached_is_tried_again(workers: int, tmp_path: Path) -> None:
    passing = (
        of_a_file_that_is_not_there(tmp_path),
        OSError(5, "Input/output error"),
        ConnectionResetError("by peer"),
        TimeoutError("no answer"),
        StorageError("The checkpoint of epoch 3 could not be written"),
    )
    assert [kind_of(error, seat(workers)) for error in passing] == ["again"] * len(passing)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_would_end_the_same_way_is_final(workers: int) -> None:
    lasting = (TrainingError("nan"), ConfigError("no"), ValueError("shape"), KeyError("a"))
    assert [kind_of(error, seat(workers)) for error in lasting] == ["final"] * len(lasting)


def test_a_collective_that_lost_its_peer_is_tried_again_and_memory_is_told_apart() -> None:
    peer = RuntimeError("Connection closed by peer")
    assert (kind_of(peer, seat(2)), kind_of(peer, seat(1))) == ("again", "final")
    assert kind_of(MemoryError("no"), seat(1)) == "memory"
