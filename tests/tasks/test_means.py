"""One pass of an encoder for models of pooled vectors and of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.errors import DataError
from raymm.tasks.means import MARK, TokenMeans, training_set
from raymm.tasks.model import item_vectors
from raymm.training.loop import train_cell
from raymm.training.saved import load_model
from tests.tasks.tiny import TinyEncoder, squares


def test_means_come_from_the_tokens_that_are_kept(tmp_path: Path) -> None:
    inner, pairs = TinyEncoder("text"), squares(40)
    means = TokenMeans(inner)
    tokens = item_vectors(pairs, "text", inner, tmp_path, tokens=True)
    count = inner.encoded
    table = item_vectors(pairs, "text", means, tmp_path, tokens=False)
    assert inner.encoded == count  # nothing was encoded again
    (found,), (kept,) = table.modalities, tokens.modalities
    assert kept.offsets is not None
    spans = zip(kept.offsets[:-1], kept.offsets[1:], strict=True)
    wanted = [kept.values[a:b].mean(axis=0) for a, b in spans]
    np.testing.assert_allclose(found.values, wanted, atol=1e-6)
    direct = means.encode(pairs.of("text").values)
    np.testing.assert_allclose(direct.values, wanted, atol=1e-6)


def test_a_training_set_holds_what_was_computed_and_says_what_made_it(tmp_path: Path) -> None:
    pairs = squares(120, splits=["train" if n % 3 else "validation" for n in range(120)])
    image, text = TokenMeans(TinyEncoder("image")), TinyEncoder("text")
    vectors = {
        "image": ("image", image, item_vectors(pairs, "image", image, tmp_path, tokens=False)),
        "text": ("text", text, item_vectors(pairs, "text", text, tmp_path, tokens=True)),
    }
    train = pairs.split("train")
    dataset = training_set(tmp_path / "set", train, vectors, train.label("colour"))
    np.testing.assert_array_equal(dataset.ids, train.ids)
    assert [each.kind for each in dataset.modalities] == ["table", "sequence"]
    (whole,) = vectors["image"][2].modalities
    place = np.searchsorted(pairs.ids, train.ids)
    np.testing.assert_array_equal(dataset.modalities[0].values, whole.values[place])
    assert dataset.label is not None and dataset.label.name == "colour"
    again = training_set(tmp_path / "set", train, vectors)
    assert again.fingerprint == dataset.fingerprint

    cell = CellConfig(
        data=DataConfig(dataset=str(tmp_path / "set")),
        model=ModelConfig(name="cbmf", width=8),
        train=TrainConfig(epochs=1, warmup_steps=1),
    )
    storage = str(tmp_path / "cell")
    train_cell(
        cell, dataset, storage=storage, device=torch.device("cpu"), on_epoch=lambda report: True
    )
    sources = load_model(storage).card.sources
    assert sources["image"].preprocessing.endswith(MARK)
    assert (sources["image"].tokens, sources["text"].tokens) == (False, True)
    assert sources["text"].encoder == "tiny-text"


def test_an_interrupted_training_set_is_not_taken_for_one(tmp_path: Path) -> None:
    pairs, text = squares(10), TinyEncoder("text")
    vectors = {"text": ("text", text, item_vectors(pairs, "text", text, tmp_path, tokens=False))}
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "half").write_text("written by something else")
    with pytest.raises(DataError):
        training_set(tmp_path / "set", pairs, vectors)
