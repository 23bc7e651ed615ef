"""Checkpoints: whole ones are found, others passed over, old ones removed; here and on object stores."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import torch

from raymm.training.checkpoint import Checkpoint, CheckpointStore, in_half_space


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
    with pytest.warns(UserWarning, match=r"None of the 1 checkpoint.*trained from its first epoch"):
        assert store.newest() is None


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "{}", "7", '{"epoch": 2, "files": []}', '{"epoch": 2, "files": {}, "state": {}}',
     '{"epoch": 2, "files": {"weights": 7}, "state": {}}', '{"files": {"weights": null}}'],
)  # fmt: skip
def test_what_is_no_list_is_passed_over(store: CheckpointStore, text: str) -> None:
    store.save(at(1))
    store.save(at(2))
    store.fs.pipe_file(f"{store.root}/epoch_00002/state.json", text.encode())
    found = store.newest()
    assert found is not None and found.epoch == 1


@pytest.mark.parametrize("name", ["state.json", "weights.safetensors"])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, name: str) -> None:
    store = CheckpointStore(str(tmp_path))
    store.save(at(1))
    store.save(at(2))
    file = tmp_path / "epoch_00002" / name
    file.unlink()
    file.mkdir()  # reading it is an OSError of another kind than that it is not there
    found = store.newest()
    assert found is not None and found.epoch == 1


@pytest.mark.parametrize("text", ["[]", "null", "{}", "7", '{"metrics": {}}', '{"curve": []}', ""])
def test_a_result_that_is_none_leaves_the_cell_unfinished(
    store: CheckpointStore, text: str
) -> None:
    store.save(at(1))
    store.fs.pipe_file(f"{store.root}/result.json", text.encode())
    assert store.result() is None
    result = {"metrics": {"loss/val": 0.5}, "curve": []}
    store.rewrite(result)
    assert store.result() == result


def kept(store: CheckpointStore) -> list[str]:
    return [str(path).rsplit("/", 1)[-1] for path in store._folders()]


def test_a_cut_off_checkpoint_does_not_take_the_place_of_a_whole_one(
    store: CheckpointStore,
) -> None:
    for epoch in (4, 8):
        store.save(at(epoch))
    store.fs.makedirs(f"{store.root}/epoch_00012")
    store.fs.pipe_file(f"{store.root}/epoch_00012/weights.safetensors", b"cut off")
    again = CheckpointStore(store.folder)
    found = again.newest()
    assert found is not None and found.epoch == 8
    again.save(at(13))
    assert kept(again) == ["epoch_00008", "epoch_00013"]


@pytest.mark.parametrize("looks_first", [True, False])
def test_damaged_checkpoints_of_later_epochs_do_not_push_out_what_is_written(
    store: CheckpointStore, looks_first: bool
) -> None:
    for epoch in (20, 22):
        store.save(at(epoch))
        store.fs.pipe_file(f"{store.root}/epoch_000{epoch}/state.json", b"x")
    if looks_first:
        store = CheckpointStore(store.folder)
        with pytest.warns(UserWarning, match="None of the 2"):
            assert store.newest() is None
    for epoch in (1, 2, 3):
        store.save(at(epoch))
        found = CheckpointStore(store.folder).newest()
        assert found is not None and found.epoch == epoch
    assert kept(store) == ["epoch_00002", "epoch_00003"]


def test_half_the_space_changes_each_weight_by_a_part_in_two_thousand_at_most() -> None:
    drawn = torch.randn(1000, generator=torch.manual_seed(0))
    weights = {
        "plain": drawn, "small": drawn * 1e-4, "large": torch.tensor([1.0, 1e5]),
        "number": torch.tensor(2.659260036932778), "counts": torch.arange(3),
    }  # fmt: skip
    halved = in_half_space(weights)
    kinds = {name: tensor.dtype for name, tensor in halved.items()}
    assert kinds.pop("plain") == kinds.pop("small") == torch.float16
    assert kinds == {"large": torch.float32, "number": torch.float32, "counts": torch.int64}
    torch.testing.assert_close(halved["plain"].float(), drawn, rtol=1 / 2048, atol=1e-7)
    torch.testing.assert_close(halved["small"].float(), drawn * 1e-4, rtol=1 / 2048, atol=1e-7)
    assert all(torch.equal(halved[name], weights[name]) for name in kinds)


def test_final_weights_take_half_the_space_when_asked(store: CheckpointStore) -> None:
    weights = {"a": torch.randn(4096)}
    store.finish(weights, {"metrics": {}})
    assert torch.equal(store.weights()["a"], weights["a"])
    whole = store.fs.size(f"{store.root}/model.safetensors")
    store.halve_weights()
    assert store.fs.size(f"{store.root}/model.safetensors") < 0.51 * whole
    torch.testing.assert_close(store.weights()["a"].float(), weights["a"], rtol=1e-3, atol=1e-6)


def test_nothing_is_left_of_what_is_discarded(store: CheckpointStore) -> None:
    store.save(at(1))
    store.discard()
    assert not store.fs.exists(store.root)
    store.discard()


def test_finishing_leaves_weights_and_result_only(store: CheckpointStore) -> None:
    store.save(at(1))
    store.finish({"a": torch.ones(2)}, {"metrics": {}})
    assert store.newest() is None
    names = {str(path).rsplit("/", 1)[-1] for path in store.fs.ls(store.root, detail=False)}
    assert names == {"model.safetensors", "result.json"}
