"""Packed sets on real S3 servers: one copy for a machine, right or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from raymm.data.card import write_card
from raymm.data.check import check_dataset
from raymm.data.pack import pack
from raymm.data.pack_writer import PackWriter
from raymm.data.packed import PackedDataset, is_packed, open_packed
from raymm.data.sources import load_dataset
from raymm.data.sources.huggingface.prepare import prepare_huggingface
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.errors import DataError, StorageError
from raymm.storage.address import open_address, upload
from raymm.storage.folders import fetched
from tests.data.sources.huggingface import folders
from tests.data.sources.pairs import layouts
from tests.encoders import models
from tests.encoders.pairs import Counting, some_pairs
from tests.s3.conftest import lead_to
from tests.s3.servers import Proxy, Server, changed

pytestmark = pytest.mark.s3
ROWS, WIDTH = 2000, 1000  # 8 MB


def make(to: str, rows: int = ROWS) -> None:
    noise = np.random.default_rng(0)
    with PackWriter(to, name="noise") as writer:
        writer.modality("a", "table", [str(column) for column in range(WIDTH)])
        ids = [f"{row:05d}" for row in range(rows)]
        writer.append("a", ids, noise.normal(size=(rows, WIDTH)).astype(np.float32))
        writer.attach("notes.md", "# noise\n\n- made up\n")


def copies(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache" / "packed").iterdir() if path.is_dir())


def test_a_set_is_packed_looked_at_and_used_where_it_lies(bucket: str, tmp_path: Path) -> None:
    digits = load_dataset("digits")
    address = f"{bucket}/sets/digits"
    pack(digits, address)
    found = load_dataset(address)
    assert isinstance(found, PackedDataset) and found.address == address
    assert found.fingerprint == digits.fingerprint
    survey = check_dataset(address)
    assert not survey.problems
    write_card(survey, str(tmp_path / "card.md"))
    with pytest.raises(DataError, match="is there already"):
        pack(digits, address)


def test_notes_come_with_a_copy(bucket: str, tmp_path: Path) -> None:
    make(f"{bucket}/noise", 10)
    write_card(check_dataset(f"{bucket}/noise"), str(tmp_path / "card.md"))
    assert "made up" in (tmp_path / "card.md").read_text()


def test_a_folder_of_tables_is_read_where_it_lies(bucket: str) -> None:
    system, root = open_address(f"{bucket}/study")
    system.pipe_file(f"{root}/a.csv", b"id,x\np1,1\np2,2\n")
    system.pipe_file(f"{root}/b.csv", b"id,y\np1,1\np3,2\n")
    system.pipe_file(f"{root}/labels.csv", b"id,sex\np1,f\np2,m\np3,f\n")
    dataset = load_dataset(f"{bucket}/study")
    assert dataset.ids.tolist() == ["p1", "p2", "p3"]


def test_a_large_set_goes_and_comes_in_parts(bucket: str) -> None:
    make(f"{bucket}/large", 30_000)  # 120 MB
    found = open_packed(f"{bucket}/large")
    assert found.damaged() == ()


def test_a_download_that_is_cut_is_gone_on_with(
    bucket: str, server: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(f"{bucket}/noise")
    lead_to(monkeypatch, server.environment(proxy.port))
    proxy.cut_after, proxy.cuts = 3 * 2**20, 2
    found = open_packed(f"{bucket}/noise")
    assert proxy.was_cut == 2 and found.damaged() == () and len(copies(tmp_path)) == 1


def test_a_download_that_is_cut_again_and_again_leaves_nothing(
    bucket: str, server: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(f"{bucket}/noise")
    lead_to(monkeypatch, server.environment(proxy.port))
    proxy.cut_after = 2**19
    with pytest.raises(StorageError, match="See that the server"):
        open_packed(f"{bucket}/noise")
    assert copies(tmp_path) == []
    proxy.cut_after = None
    assert open_packed(f"{bucket}/noise").damaged() == ()


def test_an_upload_that_is_cut_is_no_data_set(
    bucket: str, server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(monkeypatch, server.environment(proxy.port))
    proxy.cut_after = 2**20
    with pytest.raises(StorageError, match="See that the server"):
        make(f"{bucket}/noise")
    lead_to(monkeypatch, server.environment())
    assert not is_packed(f"{bucket}/noise")
    make(f"{bucket}/noise")
    assert open_packed(f"{bucket}/noise").damaged() == ()


def test_what_is_damaged_there_is_refused(bucket: str, tmp_path: Path) -> None:
    make(f"{bucket}/noise", 10)
    system, root = open_address(f"{bucket}/noise/modalities/a.arrow")
    content = bytearray(system.cat_file(root))
    values = np.random.default_rng(0).normal(size=(10, WIDTH)).astype(np.float32)
    content[content.find(values[5].tobytes()) + 2] ^= 1
    system.pipe_file(root, bytes(content))
    with pytest.raises(DataError, match="are not those that were packed"):
        open_packed(f"{bucket}/noise")
    assert copies(tmp_path) == []


OPEN = """
import sys
from raymm.data.packed import open_packed
found = open_packed(sys.argv[1])
assert not found.damaged()
print(found.fingerprint, flush=True)
"""


def test_many_ask_at_once_and_one_is_killed_half_way(
    bucket: str, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    make(f"{bucket}/noise")
    size = ROWS * WIDTH * 4
    environment = changed(
        {**server.environment(proxy.port), "RAYMM_CACHE": str(tmp_path / "cache")}
    )
    proxy.bytes_per_s = 4e6

    def opened() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OPEN, f"{bucket}/noise"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    victim = opened()
    end = time.monotonic() + 60
    while proxy.down < size // 4:  # it is in the middle of it
        assert victim.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    others = [opened() for _ in range(3)]
    time.sleep(1)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    proxy.bytes_per_s = None
    said = {process.communicate(timeout=120)[0] for process in others}
    assert said == {f"{open_packed(f'{bucket}/noise').fingerprint}\n"}
    assert len(copies(tmp_path)) == 1
    assert proxy.down < 2.5 * size  # the victim's part, and one copy for the three


def test_embeddings_are_gone_on_with_where_they_lie(bucket: str, tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    encoder, pairs, to = load_encoder(folder), some_pairs(600), f"{bucket}/vectors"
    with pytest.raises(KeyboardInterrupt):
        embed_pairs(pairs, {"text": Counting(encoder, stop_after=300)}, to)
    rest = Counting(encoder)
    made = embed_pairs(pairs, {"text": rest}, to)
    expected = embed_pairs(pairs, {"text": encoder}, tmp_path / "here")
    assert made.fingerprint == expected.fingerprint and made.damaged() == ()
    assert rest.seen < 300  # a block of 256 was there
    system, root = open_address(bucket)
    assert not any(".blocks" in path for path in system.find(root))


def test_pairs_and_an_encoder_are_used_where_they_lie(bucket: str, tmp_path: Path) -> None:
    layouts.coco(tmp_path / "coco")
    models.vit(tmp_path / "vit")
    for name in ("coco", "vit"):
        upload(tmp_path / name, f"{bucket}/{name}", last="")
    pairs, local = load_pairs(f"{bucket}/coco"), load_pairs(str(tmp_path / "coco"))
    assert (pairs.name, pairs.fingerprint()) == ("coco", local.fingerprint())
    encoder = load_encoder(f"{bucket}/vit")
    assert encoder.checksum == load_encoder(str(tmp_path / "vit")).checksum
    made = embed_pairs(pairs, {"image": encoder}, f"{bucket}/vectors")
    assert made.damaged() == () and made.ids.tolist() == local.ids.tolist()


def test_a_folder_of_hugging_face_datasets(bucket: str, tmp_path: Path) -> None:
    folder = folders.save(tmp_path / "tcga", folders.tcga(), 3)
    upload(Path(folder), f"{bucket}/tcga", last="")
    found, local = load_dataset(f"{bucket}/tcga"), load_dataset(folder)
    assert (found.name, found.fingerprint) == ("tcga", local.fingerprint)
    prepare_huggingface(f"{bucket}/tcga", f"{bucket}/packed")
    assert load_dataset(f"{bucket}/packed").ids.tolist() == local.ids.tolist()


def test_a_folder_whose_download_is_cut(
    bucket: str, server: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    content = np.random.default_rng(0).bytes(4 * 2**20)
    (tmp_path / "study" / "large.bin").write_bytes(content)
    upload(tmp_path / "study", f"{bucket}/study", last="")
    lead_to(monkeypatch, server.environment(proxy.port))
    proxy.cut_after, proxy.cuts = 2**20, 1
    copy = fetched(f"{bucket}/study")
    assert proxy.was_cut == 1 and (copy.path / "large.bin").read_bytes() == content
