"""The tasks on ConVIRT, which is given pixels and token ids and holds its encoders itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.sources.pairs.emoji_set import FOLDER, TABLE
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.table import parse_columns
from raymm.encoders.load import load_encoder
from raymm.encoders.raw import raw_dataset
from raymm.errors import ConfigError
from raymm.tasks import model as task_model
from raymm.tasks.classification import FineTuned, own_batches
from raymm.tasks.classifier import ClassifierSettings
from raymm.tasks.model import TaskModel
from raymm.tasks.run import TaskOptions, open_model, run_task, training_data
from raymm.training.loop import train_cell

ENCODERS = {"image": "efficientnet-lite0", "text": "minilm"}
QUICK = TaskOptions(templates=("{}",), classifier=ClassifierSettings(epochs=2, every=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of some emoji, and ConVIRT trained on them for an epoch."""
    place = tmp_path_factory.mktemp("convirt")
    table = pq.read_table(FOLDER / TABLE).take(list(range(0, 1911, 45)))
    (place / "pairs").mkdir()
    pq.write_table(table.rename_columns({"name": "text"}), place / "pairs" / "some.parquet")
    loaded = {modality: load_encoder(name, device="cpu") for modality, name in ENCODERS.items()}
    dataset = raw_dataset(load_pairs(str(place / "pairs")), loaded)
    config = CellConfig(
        data=DataConfig(dataset=str(place / "pairs"), test_fraction=0.3),
        model=ModelConfig(name="convirt", width=16, encoders=tuple(ENCODERS.values())),
        train=TrainConfig(epochs=1, batch_size=8, learning_rate=1e-4, warmup_steps=1),
    )
    train_cell(
        config, dataset, storage=str(place / "cell"), device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )  # fmt: skip
    return place


@pytest.fixture(scope="module")
def convirt(folder: Path) -> TaskModel:
    return open_model(str(folder / "cell"), cache=str(folder / "cache"))


@pytest.fixture(scope="module")
def labelled(folder: Path) -> Pairs:
    columns = parse_columns(["image=image", "text=text", "label=category"])
    return load_pairs(str(folder / "pairs"), columns=columns)


def test_embeddings_are_those_of_the_model_on_its_raw_data(
    convirt: TaskModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also some at a time; and the encoders alone are the pretrained ones."""
    pairs = load_pairs(str(folder / "pairs"))
    raw = training_data(convirt.saved)
    whole = convirt.saved.embed_dataset(raw)
    monkeypatch.setattr(task_model, "AT_ONCE", 7)
    for index, domain in enumerate(("image", "text")):
        seen = convirt.embedded(pairs, domain, domain)  # type: ignore[arg-type]
        np.testing.assert_allclose(seen.model, _unit(whole.vectors[index]), atol=1e-5)
        alone = load_encoder(ENCODERS[domain], device="cpu").encode(pairs.of(domain).values)
        np.testing.assert_allclose(seen.alone[domain], alone.values, atol=1e-5)
    texts = [str(text) for text in pairs.of("text").values[:5]]
    np.testing.assert_allclose(
        convirt.embedded_texts(texts), _unit(whole.vectors[1][:5]), atol=1e-5
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def test_each_task_of_images_is_done(convirt: TaskModel, labelled: Pairs) -> None:
    zero = run_task("zero-shot", convirt, labelled, QUICK)
    assert list(zero.tables[0].frame.columns[:2]) == ["ConVIRT, name", "ConVIRT"]
    assert "needs encoders' vectors" in zero.notes[-1]
    linear = run_task("linear", convirt, labelled, QUICK)
    assert 0 <= linear.metrics["linear/test_accuracy"] <= 1
    held_out = run_task("retrieval", convirt, None, QUICK)
    assert list(held_out.tables[0].frame.columns) == ["ConVIRT"]
    assert held_out.metrics["retrieval/image_to_text_gallery"] > 5
    every = run_task("retrieval", convirt, labelled, QUICK)
    assert every.metrics["retrieval/image_to_text_gallery"] == len(labelled.ids)


def test_fine_tuning_starts_from_the_encoder_that_it_has_trained(
    convirt: TaskModel, labelled: Pairs
) -> None:
    """Its first logits are those of the model's own embeddings; its encoders stay as they are."""
    ids, features = convirt.own_features(labelled, "image", "image")
    assert ids.tolist() == labelled.ids.tolist()
    module = FineTuned(convirt.saved, "image", 3)
    rows = np.arange(len(ids))
    batch = own_batches(convirt, labelled, "image", "image")(rows)
    seen = convirt.embedded(labelled, "image", "image").model
    expected = torch.nn.functional.normalize(module.model(batch).vectors[0], dim=-1)
    np.testing.assert_allclose(seen, expected.detach().numpy(), atol=1e-5)
    assert features.shape == (len(ids), 1280)
    before = {name: t.clone() for name, t in convirt.saved.model.state_dict().items()}
    result = run_task("fine-tune", convirt, labelled, QUICK)
    assert list(result.tables[0].frame.columns[:2]) == [
        "ConVIRT", "efficientnet-lite0 alone, linear"
    ]  # fmt: skip
    after = convirt.saved.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="holds its own encoder of 'text', made from 'minilm'"):
        open_model(str(folder / "cell"), encoders={"text": "paraphrase-minilm-l3"})
    assert open_model(str(folder / "cell"), encoders={"text": "minilm"}).name == "ConVIRT"
