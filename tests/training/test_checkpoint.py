"""Checkpoints: whole ones are found, others passed over, old ones removed; here and on object stores."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import torch

from raymm.training.checkpoint import Checkpoint, CheckpointStore


def at(epoch: int) -> Checkpoint:
    tensors = {"a": torch.full((2, 3), float(epoch)), "step": torch.tensor(float(epoch))}
    return Checkpoint(epoch, {"weights": tensors}, {"epoch": epoch})


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    folder = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "cell")
    return CheckpointStore(folder)


def test_nothing_saved_nothing_found(store: CheckpointStore) -> None:
    assert store.newest() is None


def test_the_newest_comes_back_and_two_are_kept(store: CheckpointStore) -> None:
    for epoch in (1, 2, 3):
        store.save(at(epoch))
    found = store.newest()
    assert found is not None and found.epoch == 3 and found.state == {"epoch": 3}
    assert torch.equal(found.groups["weights"]["a"], torch.full((2, 3), 3.0))
    assert len(store._folders()) == 2


def test_a_checkpoint_cut_off_before_its_list_is_passed_over(store: CheckpointStore) -> None:
    store.save(at(1))
    store.save(at(2))
    store.fs.rm(f"{store.root}/epoch_00002/state.json")
    found = store.newest()
    assert found is not None and found.epoch == 1


def test_a_list_cut_off_half_way_is_passed_over(store: CheckpointStore) -> None:
    store.save(at(1))
    store.fs.pipe_file(f"{store.root}/epoch_00001/state.json", b'{"epoch": 1, "fil')
    assert store.newest() is None


def test_finishing_leaves_weights_and_result_only(store: CheckpointStore) -> None:
    store.save(at(1))
    store.finish({"a": torch.ones(2)}, {"metrics": {}})
    assert store.newest() is None
    names = {str(path).rsplit("/", 1)[-1] for path in store.fs.ls(store.root, detail=False)}
    assert names == {"model.safetensors", "result.json"}
