"""The cache made over Ray: the same as in one process, whatever happens to the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from raymm.cli import main
from raymm.data.packed import open_packed
from raymm.data.sources import load_dataset
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.blocks import BlockFolder
from raymm.encoders.cache import EmbedSettings, EncodeBlocks, embed
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.encoders.record import RECORD
from raymm.errors import ConfigError, DataError
from tests.data.sources.pairs import layouts
from tests.encoders import models
from tests.encoders.pairs import Counting, some_pairs

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("local_ray"),
    # Ray Data's own; each comes from inside it.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An image model and a text model."""
    root = tmp_path_factory.mktemp("models")
    return models.vit(root / "vit"), models.roberta(root / "roberta")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`raymm embed`, all but its connecting: the tests' Ray is running already."""
    monkeypatch.setattr("raymm.training.cluster.connected", lambda address: nullcontext())
    return lambda *arguments: main(["embed", *arguments])


def test_over_a_cluster_as_in_one_process(tmp_path: Path, folders: tuple[str, str]) -> None:
    """As token sequences, going on where another run was stopped; then nothing is left to do."""
    vit, roberta = folders
    pairs = some_pairs(600)
    encoders = {"image": load_encoder(vit), "text": load_encoder(roberta)}
    alone = embed_pairs(pairs, encoders, tmp_path / "alone", tokens=True)
    stopped = {**encoders, "text": Counting(encoders["text"], stop_after=300)}
    with pytest.raises(KeyboardInterrupt):
        embed_pairs(pairs, stopped, tmp_path / "cache", tokens=True)
    told: list[tuple[str, int, int]] = []
    settings, to = EmbedSettings(tokens=True), str(tmp_path / "cache")
    asked = [("image", vit), ("text", roberta)]
    done = embed(pairs, asked, to, settings, lambda *each: told.append(each))
    # Of 300 images and 480 texts, all images and the first 256 texts were there.
    assert (done.computed, done.kept) == (480 - 256, 300 + 256)
    assert told == [("text", 256, 480), ("text", 480, 480)]
    made = open_packed(to)
    assert made.damaged() == ()
    for one, other in zip(made.modalities, alone.modalities, strict=True):
        assert np.array_equal(one.rows, other.rows)
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)

    def no_connection() -> nullcontext[None]:
        raise AssertionError("there is nothing to connect for")

    again = embed(pairs, asked, to, settings, connect=no_connection)
    assert (again.computed, again.kept, again.record) == (0, 780, done.record)


def test_at_an_address(
    tmp_path: Path, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and read through fsspec, as on s3://; each machine makes a copy that it checks."""
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    pairs, to = some_pairs(), f"file://{tmp_path}/bucket/cache"
    embed(pairs, [("", folders[1])], to)
    assert [path.name for path in (tmp_path / "bucket").iterdir()] == ["cache"]
    dataset = load_dataset(to)
    expected = embed_pairs(pairs, {"text": load_encoder(folders[1])}, tmp_path / "local")
    np.testing.assert_allclose(
        dataset.modalities[0].values, expected.modalities[0].values, atol=1e-5
    )
    assert embed(pairs, [("", folders[1])], to).computed == 0


def test_other_weights_are_refused(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    encoder = load_encoder(folder)
    first = encoder.checksum
    embed_pairs(some_pairs(), {"text": encoder}, tmp_path / "cache")
    weights = load_file(Path(folder, "model.safetensors"))
    weights["pooler.dense.bias"] += 1
    save_file(weights, Path(folder, "model.safetensors"), {"format": "pt"})
    with pytest.raises(DataError) as error:
        embed(some_pairs(), [("", folder)], str(tmp_path / "cache"))
    assert first in str(error.value) and load_encoder(folder).checksum in str(error.value)


def test_a_worker_with_other_weights_says_so(tmp_path: Path) -> None:
    """As on a machine that has another version of the model; here it changes under way."""
    folder = models.bert(tmp_path / "bert")

    def change(modality: str, done: int, total: int) -> None:
        weights = load_file(Path(folder, "model.safetensors"))
        weights["pooler.dense.bias"] += 1
        save_file(weights, Path(folder, "model.safetensors"), {"format": "pt"})

    with pytest.raises(DataError, match="where the run was started"):
        embed(some_pairs(), [("", folder)], str(tmp_path / "cache"), progress=change)
    assert not (tmp_path / "cache").exists()


def test_a_worker_that_fits_nowhere(tmp_path: Path, folders: tuple[str, str]) -> None:
    settings = EmbedSettings(cpus_per_worker=64)
    with pytest.raises(ConfigError, match="A worker needs 64 CPUs, but the cluster has 2"):
        embed(some_pairs(), [("", folders[1])], str(tmp_path / "cache"), settings)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="workers = 0"):
        EmbedSettings(workers=0)


def test_the_command(
    tmp_path: Path,
    folders: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    command: Callable[..., int],
) -> None:
    to = str(tmp_path / "cache")
    assert command("--encoder", folders[1], "--out", to) == 0
    out = capsys.readouterr().out
    assert "1,911 samples; 1,911 different items computed, 0 were there already" in out
    assert (tmp_path / "cache" / RECORD).is_file()
    assert command("--encoder", "picture=" + folders[0], "--out", to) == 1
    assert "no such modality 'picture': Known: image" in capsys.readouterr().err


def test_official_splits(
    tmp_path: Path,
    folders: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    command: Callable[..., int],
) -> None:
    """A test split among all is warned of; one that is left out is not in the cache."""
    (tmp_path / "pairs").mkdir()
    for name, count in (("train", 6), ("val", 3), ("test", 2)):
        frame = pd.DataFrame({"text": [f"{name} cat {row}" for row in range(count)]})
        frame.to_parquet(tmp_path / "pairs" / f"{name}.parquet")
    start = ["--dataset", str(tmp_path / "pairs"), "--columns", "text=text"]
    start += ["--encoder", folders[1], "--out"]
    assert command(*start, str(tmp_path / "all")) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "official test split of 2 samples" in said and "--splits train" in said
    assert command(*start, str(tmp_path / "some"), "--splits", "train", "validation") == 0
    assert "warning" not in capsys.readouterr().err
    ids = open_packed(str(tmp_path / "some")).ids.tolist()
    assert len(ids) == 9 and not any(each.startswith("test") for each in ids)
    (tmp_path / "pairs" / "test.parquet").unlink()
    assert command(*start, str(tmp_path / "none"), "--splits", "test") == 1
    assert "has no split 'test'" in " ".join(capsys.readouterr().err.split())


def test_a_worker_makes_its_own_copy_of_pairs_at_an_address(
    tmp_path: Path, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that has no copy yet, and has its copies elsewhere than the driver."""
    layouts.coco(tmp_path / "coco")
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "driver"))
    pairs = load_pairs(f"file://{tmp_path}/coco")
    expected = embed_pairs(pairs, {"image": load_encoder(folders[0])}, tmp_path / "here")
    assert pairs.copy is not None
    origin, items = (pairs.copy.address, pairs.copy.path), list(pairs.of("image").values)
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "worker"))
    shutil.rmtree(tmp_path / "driver")
    weights, blocks = load_encoder(folders[0]).checksum, str(tmp_path / "blocks")
    worker = EncodeBlocks(folders[0], "auto", weights, blocks, False, origin)
    assert worker({"number": [0], "items": [items]}) == {"items": [len(items)], "mistake": [""]}
    np.testing.assert_allclose(
        BlockFolder(blocks).read(0).values, expected.modalities[0].values, atol=1e-5
    )


def test_no_bars_where_nobody_watches(
    tmp_path: Path,
    folders: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    command: Callable[..., int],
) -> None:
    layouts.coco(tmp_path / "coco")
    start = ["--dataset", str(tmp_path / "coco"), "--splits", "train"]
    assert command(*start, "--encoder", folders[1], "--out", str(tmp_path / "cache")) == 0
    assert capsys.readouterr().err == ""
