"""Embedding in this process: what is computed, what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from raymm.config import DataConfig
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.pairs import Item
from raymm.encoders import blocks
from raymm.encoders.base import Encoder
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.encoders.record import RECORD, read_record
from raymm.errors import ConfigError, DataError
from tests.encoders import models
from tests.encoders.pairs import COUNT, Counting, some_pairs


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr("raymm.encoders.assemble.BLOCK", 4)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(models.roberta(tmp_path_factory.mktemp("text") / "roberta"), device="cpu")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(models.vit(tmp_path_factory.mktemp("image") / "vit"), device="cpu")


def test_the_result_is_a_data_set_of_the_encoders_vectors(
    tmp_path: Path, text: Encoder, image: Encoder
) -> None:
    pairs = some_pairs()
    dataset = embed_pairs(pairs, {"image": image, "text": text}, tmp_path / "cache")
    assert dataset.ids.tolist() == pairs.ids.tolist() and dataset.licence == "none"
    assert dataset.label is not None and dataset.label.classes == ("left", "right")
    assert dataset.label.values.tolist() == [0, 1] * (COUNT // 2)
    for modality, encoder in zip(dataset.modalities, (image, text), strict=True):
        items = pairs.of(modality.name)
        assert np.array_equal(modality.rows, items.rows) and modality.kind == "table"
        alone = [encoder.encode([item]).values[0] for item in items.values]
        np.testing.assert_allclose(modality.values, alone, atol=1e-5)


def test_token_sequences(tmp_path: Path, text: Encoder, image: Encoder) -> None:
    pairs = some_pairs(8)
    made = embed_pairs(pairs, {"image": image, "text": text}, tmp_path / "c", tokens=True)
    for modality, encoder in zip(made.modalities, (image, text), strict=True):
        expected = encoder.encode(pairs.of(modality.name).values, tokens=True)
        assert modality.kind == "sequence" and modality.offsets is not None
        assert expected.offsets is not None
        assert modality.offsets.tolist() == expected.offsets.tolist()
        np.testing.assert_allclose(modality.values, expected.values, atol=1e-5)


def test_a_sweep_reads_it_as_any_data_set(tmp_path: Path, text: Encoder, image: Encoder) -> None:
    """Both samples of an image fall into one split."""
    embed_pairs(some_pairs(100), {"image": image, "text": text}, tmp_path / "cache")
    dataset = load_dataset(str(tmp_path / "cache"))
    data = prepare(dataset, DataConfig(sparsity=0.2))
    groups = [
        {str(sample).split("#")[0] for sample in split.ids}
        for split in (data.train, data.validation, data.test)
    ]
    assert all(groups) and not (groups[0] & groups[1] or groups[0] & groups[2])


def test_each_different_item_is_encoded_once(tmp_path: Path, image: Encoder) -> None:
    counting = Counting(image)
    made = embed_pairs(some_pairs(), {"image": counting}, tmp_path / "cache")
    assert (counting.seen, len(made.modalities[0].values)) == (COUNT // 2, COUNT)


def test_a_second_run_computes_nothing(tmp_path: Path, text: Encoder) -> None:
    first = embed_pairs(some_pairs(), {"text": text}, tmp_path / "cache")
    counting = Counting(text, stop_after=0)
    again = embed_pairs(some_pairs(), {"text": counting}, tmp_path / "cache")
    assert counting.seen == 0 and again.fingerprint == first.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # the blocks are gone


def test_an_interrupted_run_goes_on(tmp_path: Path, text: Encoder) -> None:
    whole = embed_pairs(some_pairs(), {"text": text}, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        embed_pairs(some_pairs(), {"text": Counting(text, stop_after=13)}, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    counting = Counting(text)
    resumed = embed_pairs(some_pairs(), {"text": counting}, tmp_path / "cache")
    assert counting.seen == 24 - 12 and resumed.fingerprint == whole.fingerprint


def test_a_cache_of_other_weights_is_refused(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    first = load_encoder(folder, device="cpu")
    embed_pairs(some_pairs(), {"text": first}, tmp_path / "cache")
    path = Path(folder, "model.safetensors")
    weights = load_file(path)
    weights["pooler.dense.bias"] += 1
    save_file(weights, path, {"format": "pt"})
    second = load_encoder(folder, device="cpu")
    with pytest.raises(DataError) as error:
        embed_pairs(some_pairs(), {"text": second}, tmp_path / "cache")
    assert first.checksum in str(error.value) and second.checksum in str(error.value)


def test_a_cache_of_something_else_is_refused(
    tmp_path: Path, text: Encoder, image: Encoder
) -> None:
    embed_pairs(some_pairs(), {"text": text}, tmp_path / "cache")
    with pytest.raises(DataError, match="made of data with the fingerprint"):
        embed_pairs(some_pairs(12), {"text": text}, tmp_path / "cache")
    with pytest.raises(DataError, match="holds the modalities text, not image"):
        embed_pairs(some_pairs(), {"image": image}, tmp_path / "cache")
    with pytest.raises(DataError, match="with other settings"):
        embed_pairs(some_pairs(), {"text": text}, tmp_path / "cache", tokens=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="is there already and holds no embeddings"):
        embed_pairs(some_pairs(), {"text": text}, tmp_path / "mine")


def test_a_few_images_that_do_not_decode_are_left_out(tmp_path: Path, image: Encoder) -> None:
    pairs = some_pairs(200, broken=[3])
    made = embed_pairs(pairs, {"image": image}, tmp_path / "cache")
    assert made.ids.tolist() == [sample for sample in pairs.ids if sample != "001#1"]
    items = pairs.of("image").values
    whole = [image.encode([items[row]]).values[0] for row in (2, 4, 199)]
    np.testing.assert_allclose(made.modalities[0].values[[2, 3, 198]], whole, atol=1e-5)
    record = read_record((tmp_path / "cache" / RECORD).read_text(), "cache")
    assert record.modalities[0].unreadable == ("001#1",)


def test_many_images_that_do_not_decode_are_an_error(tmp_path: Path, image: Encoder) -> None:
    pairs = some_pairs(200, broken=[5, 7, 8])
    with pytest.raises(DataError, match=r"3 of 200 images do not decode \('002#1', '003#1'"):
        embed_pairs(pairs, {"image": image}, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_long_texts_are_counted(tmp_path: Path, text: Encoder) -> None:
    texts: list[Item | None] = ["cat " * 40, "dog " * 40, "cat"]
    pairs = build("long", ["a", "b", "c"], {"text": Column("text", texts)})
    embed_pairs(pairs, {"text": text}, tmp_path / "cache")
    record = read_record((tmp_path / "cache" / RECORD).read_text(), "cache")
    assert record.modalities[0].truncated == 2


def test_a_damaged_block_is_noticed(tmp_path: Path, text: Encoder) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed_pairs(some_pairs(), {"text": Counting(text, stop_after=13)}, tmp_path / "cache")
    block = sorted(tmp_path.rglob("*.arrow"))[1]
    block.write_bytes(block.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read"):
        embed_pairs(some_pairs(), {"text": text}, tmp_path / "cache")
    block.unlink()
    embed_pairs(some_pairs(), {"text": text}, tmp_path / "cache")


def test_encoders_and_modalities_must_fit(tmp_path: Path, text: Encoder) -> None:
    with pytest.raises(ConfigError, match="encodes texts, and some pairs has no such modality"):
        embed_pairs(some_pairs(), {"image": text}, tmp_path / "cache")
