"""What cells leave, on real S3 servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.errors import StorageError, SweepError
from raymm.storage.address import open_address
from raymm.storage.mirror import names_in, publish, working_folder
from raymm.sweep.places import check_storage
from raymm.training.checkpoint import Checkpoint, CheckpointStore
from tests.s3.conftest import lead_to
from tests.s3.servers import Proxy, Server, free_port

pytestmark = pytest.mark.s3
PARTS = 120 * 2**20
"""Bytes that s3fs sends in several parts of 50 MiB."""


def checkpoint(epoch: int, numbers: int = 10) -> Checkpoint:
    weights = torch.full((numbers,), float(epoch))
    return Checkpoint(epoch, {"model": {"w": weights}}, {"epochs": [epoch]})


def files(address: str) -> list[str]:
    system, root = open_address(address)
    return sorted(str(path)[len(root) + 1 :] for path in system.find(root))


def test_checkpoints_come_and_go(bucket: str) -> None:
    store = CheckpointStore(f"{bucket}/cells/key")
    assert store.newest() is None and store.result() is None
    for epoch in range(1, 5):
        store.save(checkpoint(epoch))
    assert len({name.split("/")[0] for name in files(store.folder)}) == 2
    found = CheckpointStore(store.folder).newest()
    assert found is not None and found.epoch == 4 and found.state == {"epochs": [4]}
    assert torch.equal(found.groups["model"]["w"], torch.full((10,), 4.0))
    store.finish({"w": torch.ones(3)}, {"metrics": {}, "curve": []})
    assert files(store.folder) == ["model.safetensors", "result.json"]
    again = CheckpointStore(store.folder)
    assert again.result() == {"metrics": {}, "curve": []}
    assert torch.equal(again.weights()["w"], torch.ones(3))
    again.discard()
    assert files(store.folder) == []


def test_a_damaged_checkpoint_is_passed_over(bucket: str) -> None:
    store = CheckpointStore(f"{bucket}/cells/key")
    for epoch in (1, 2):
        store.save(checkpoint(epoch))
    system, root = open_address(store.folder)
    content = system.cat_file(f"{root}/epoch_00002/model.safetensors")
    system.pipe_file(f"{root}/epoch_00002/model.safetensors", content[:-1] + b"\x01")
    found = CheckpointStore(store.folder).newest()
    assert found is not None and found.epoch == 1


def test_a_large_checkpoint_is_sent_in_parts(bucket: str, server: Server) -> None:
    store = CheckpointStore(f"{bucket}/cells/key")
    store.save(checkpoint(7, PARTS // 4))
    found = CheckpointStore(store.folder).newest()
    assert found is not None and torch.equal(
        found.groups["model"]["w"], torch.full((PARTS // 4,), 7.0)
    )
    if server.kind == "moto":  # which says of each object how it came
        head = server.client().head_object(
            Bucket=bucket.removeprefix("s3://"), Key="cells/key/epoch_00007/model.safetensors"
        )
        assert head["ETag"].strip('"').endswith("-3")


def test_a_connection_that_is_cut_while_a_checkpoint_is_read_or_written(
    bucket: str, server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(monkeypatch, server.environment(proxy.port))
    store = CheckpointStore(f"{bucket}/cells/key")
    proxy.cut_after, proxy.cuts = 2**20, 1
    store.save(checkpoint(1, 2**20))  # 4 MiB: the first attempt is cut in the middle
    assert proxy.was_cut == 1
    proxy.cuts = 1
    found = CheckpointStore(store.folder).newest()
    assert found is not None and proxy.was_cut == 2
    assert torch.equal(found.groups["model"]["w"], torch.full((2**20,), 1.0))


def test_a_server_that_stays_away_is_no_missing_checkpoint(
    bucket: str, server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    CheckpointStore(f"{bucket}/cells/key").save(checkpoint(1, 2**20))
    lead_to(monkeypatch, server.environment(proxy.port))
    proxy.cut_after = 2**20
    with pytest.raises(StorageError, match="See that the server at http://127"):
        CheckpointStore(f"{bucket}/cells/key").newest()


def test_a_server_that_is_not_there(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(monkeypatch, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(SweepError, match=r"cannot be written: .* See that the server at http"):
        check_storage(f"{bucket}/cells")


def test_a_bucket_that_is_not_there_is_named_and_not_made(bucket: str, server: Server) -> None:
    with pytest.raises(SweepError, match="There is no bucket 'nobodys'"):
        check_storage("s3://nobodys/cells")
    names = {each["Name"] for each in server.client().list_buckets()["Buckets"]}
    assert "nobodys" not in names and bucket.removeprefix("s3://") in names


def test_a_working_copy_of_results(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{bucket}/results/digits"
    folder = working_folder(address)
    (folder / "cells.csv").write_text("1")
    (folder / "large.bin").write_bytes(np.random.default_rng(0).bytes(PARTS))
    assert publish(folder) == address and names_in(f"{bucket}/results") == ["digits"]
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "another machine"))
    other = working_folder(address)
    assert other != folder and (other / "cells.csv").read_text() == "1"
    assert (other / "large.bin").read_bytes() == (folder / "large.bin").read_bytes()
    assert {path.name for path in other.iterdir()} == {"cells.csv", "large.bin"}
