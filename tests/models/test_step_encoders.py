"""Encoders that run in the step: ConVIRT trains them, CBMF leaves them as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raymm.config import CellConfig, DataConfig, ModelConfig, ModelName, TrainConfig
from raymm.data.batch import Batch
from raymm.data.dataset import Dataset, ModalitySpec
from raymm.data.pack import pack
from raymm.data.prepare import prepare
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.encoders.base import Encoder, weights_checksum
from raymm.encoders.load import load_encoder
from raymm.encoders.raw import raw_dataset
from raymm.errors import ConfigError, DataError
from raymm.models.build import build_model
from raymm.models.cbmf import CBMF
from raymm.models.convirt import ConVIRT
from raymm.models.step_encoders import StepEncoders
from raymm.training.checkpoint import CheckpointStore
from raymm.training.loop import train_cell
from tests.encoders import models
from tests.encoders.pairs import some_pairs

NAMES = ("efficientnet-lite0", "minilm")
MODALITIES = ("image", "text")


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    return dict(zip(MODALITIES, (load_encoder(name, device="cpu") for name in NAMES), strict=True))


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    every = load_pairs("emoji")
    return every.chosen(np.arange(len(every.ids)) % 60 == 0)


@pytest.fixture(scope="module")
def raw(pairs: Pairs, encoders: dict[str, Encoder]) -> Dataset:
    return raw_dataset(pairs, encoders, label=pairs.labels[0].name)


def model_config(name: ModelName, **settings: int) -> ModelConfig:
    return ModelConfig(name=name, width=16, encoders=NAMES, **settings)  # type: ignore[arg-type]


def first(dataset: Dataset, count: int) -> tuple[tuple[ModalitySpec, ...], Batch, list[int]]:
    """Specs, a batch of the train split's first samples, and their places in the data set."""
    prepared = prepare(dataset, DataConfig())
    ids = prepared.train.ids[:count]
    places = np.searchsorted(dataset.ids, ids)
    return prepared.specs, prepared.train.batch(np.arange(count)), places.tolist()


def test_raw_values_reach_the_model_as_they_are(
    raw: Dataset, pairs: Pairs, encoders: dict[str, Encoder]
) -> None:
    specs, batch, places = first(raw, 5)
    assert [(spec.kind, spec.raw) for spec in specs] == [("table", True), ("sequence", True)]
    pixels = encoders["image"].preprocess([pairs.items[0].values[place] for place in places])
    assert batch.blocks[0].values.dtype == torch.uint8
    assert torch.equal(batch.blocks[0].values, pixels.values)
    texts = encoders["text"].preprocess([pairs.items[1].values[place] for place in places])
    assert texts.mask is not None
    for block in batch.blocks[1:]:
        assert block.values.dtype == torch.int64
        for row, sample in enumerate(block.samples.tolist()):
            count = block.length if block.lengths is None else int(block.lengths[row])
            real = texts.values[sample][texts.mask[sample].bool()]
            assert block.values[row, :count, 0].tolist() == real.tolist()


@pytest.mark.parametrize("name", ["convirt", "cbmf"])
def test_features_are_those_that_the_encoder_gives_alone(
    name: ModelName, raw: Dataset, pairs: Pairs, encoders: dict[str, Encoder]
) -> None:
    specs, batch, places = first(raw, 5)
    model = build_model(specs, model_config(name))
    assert isinstance(model, (ConVIRT, CBMF))
    vectors = model(batch).vectors
    for index, modality in enumerate(MODALITIES):
        items = [pairs.items[index].values[place] for place in places]
        alone = torch.from_numpy(encoders[modality].encode(items).values)
        projected = model.projections[index](F.layer_norm(alone, alone.shape[1:]))
        if isinstance(model, CBMF):
            projected = model.fusion_encoder.pooled(projected + model.contexts[index])
        torch.testing.assert_close(vectors[index], projected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("name", "trained"), [("convirt", True), ("cbmf", False)])
def test_convirt_trains_its_encoders_and_cbmf_leaves_them_as_they_are(
    name: ModelName, trained: bool, raw: Dataset, encoders: dict[str, Encoder], tmp_path: Path
) -> None:
    train = TrainConfig(epochs=1, batch_size=7, learning_rate=1e-3, warmup_steps=0)
    metrics = train_cell(
        CellConfig(model=model_config(name), train=train),
        raw,
        storage=str(tmp_path),
        device=torch.device("cpu"),
        on_epoch=lambda report: True,
        score="validation",  # so that the weights are kept bit by bit
    )
    assert np.isfinite(metrics["loss/val"])
    weights = CheckpointStore(str(tmp_path)).weights()
    for index, modality in enumerate(MODALITIES):
        prefix = f"model.encoders.encoders.{index}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        assert (weights_checksum(own) != encoders[modality].checksum) == trained


@pytest.mark.parametrize("name", ["convirt", "cbmf"])
def test_every_trained_parameter_takes_part_when_nobody_has_a_modality(
    name: ModelName, raw: Dataset
) -> None:
    specs, batch, _ = first(raw, 3)
    empty = batch.presence.copy()
    empty[:, 0] = False
    image = batch.blocks[0]
    nobody = type(image)(0, image.samples[:0], image.values[:0])
    model = build_model(specs, model_config(name))
    model(Batch(empty, (nobody, *batch.blocks[1:]))).vectors.sum().backward()
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    assert [key for key in trained if model.get_parameter(key).grad is None] == []
    of_encoders = [key for key in trained if key.startswith("encoders.")]
    assert bool(of_encoders) == (name == "convirt")


def test_encoders_have_no_dropout_even_in_training_mode(raw: Dataset) -> None:
    specs, batch, _ = first(raw, 2)
    encoders = StepEncoders(specs, NAMES, trained=True).train()
    assert not any(module.training for module in encoders.modules())
    assert torch.equal(encoders(batch.blocks[0]), encoders(batch.blocks[0]))


def test_encoders_that_do_not_fit_are_refused(raw: Dataset) -> None:
    specs, _, _ = first(raw, 2)
    with pytest.raises(ConfigError, match=r"are 1, for 2 modalities \(image, text\)"):
        build_model(specs, ModelConfig(name="convirt", width=16, encoders=NAMES[:1]))
    with pytest.raises(ConfigError, match="image, text holds raw pixels or token ids"):
        build_model(specs, ModelConfig(name="mca", width=16))
    features = [ModalitySpec(name, "table", 4, 4) for name in MODALITIES]
    with pytest.raises(ConfigError, match="but image, text holds features"):
        build_model(features, model_config("cbmf"))
    operation = "dot_attention"
    config = ModelConfig(name="cbmf", width=16, encoders=NAMES, fusion_operation=operation)
    with pytest.raises(ConfigError, match="but image, text has one vector a sample"):
        build_model(specs, config)


def test_an_encoder_of_another_domain_is_refused(
    pairs: Pairs, encoders: dict[str, Encoder]
) -> None:
    with pytest.raises(ConfigError, match="holds images, and the encoder minilm takes texts"):
        raw_dataset(pairs, {"image": encoders["text"], "text": encoders["text"]})


def test_raw_inputs_are_not_packed(raw: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="image, text holds raw pixels or token ids"):
        pack(raw, str(tmp_path / "packed"))
    assert not (tmp_path / "packed").exists()


def test_what_is_odd_of_raw_inputs_is_told(tmp_path: Path) -> None:
    """Texts that are cut, and images that do not decode: their samples lack the modality."""
    encoders = {
        "image": load_encoder(models.vit(tmp_path / "vit"), device="cpu"),
        "text": load_encoder(models.bert(tmp_path / "bert"), device="cpu"),
    }
    pairs = some_pairs(200, broken=[3])
    text = pairs.of("text")
    pairs = replace(
        pairs, items=(pairs.of("image"), replace(text, values=["a cat " * 20, *text.values[1:]]))
    )
    told: list[str] = []
    dataset = raw_dataset(pairs, encoders, tell=told.append)
    assert len(told) == 2
    assert "1 images do not decode and are left out: '001#1'" in told[0]
    assert "1 texts were longer than it takes" in told[1]
    image, text_seen = dataset.modalities
    assert image.rows.tolist() == [row for row in range(200) if row != 3]
    assert len(image.values) == 199 and len(text_seen.rows) == len(text.rows)
    with pytest.raises(DataError, match="3 of 200 images do not decode"):
        raw_dataset(some_pairs(200, broken=[3, 4, 5]), encoders)
