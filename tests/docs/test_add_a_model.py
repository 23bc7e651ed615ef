"""The worked example of docs/add-a-model.md, through plan, training and use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import raymm
from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.errors import ConfigError
from raymm.models.custom import custom_model, source_digest
from raymm.report.names import model_label
from raymm.sweep.cells import cell_key
from raymm.sweep.grid import GridSettings
from raymm.training.loop import train_cell
from tests.docs.pages import commands, python, run

PAGE, NAME = "add-a-model.md", "my_models:GatedMean"
SOURCE = python(PAGE)[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that has the example, as a sweep would be started in it."""
    import sys

    (tmp_path / "my_models.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("my_models", "broken_models"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", ("mor", "zer", "fou"), None)


def cell(model: str = NAME) -> CellConfig:
    return CellConfig(
        data=DataConfig(modalities=("mor", "zer", "fou"), sparsity=0.5),
        model=ModelConfig(name=model, width=16),
        train=TrainConfig(epochs=1, warmup_steps=5),
    )


def test_it_is_short() -> None:
    assert len(SOURCE.splitlines()) < 60


def test_its_plan_is_shown(here: Path) -> None:
    plan, train = commands(PAGE)
    assert plan == f"{train} --plan"
    status, said = run(plan, here)
    assert status == 0, said
    assert "my_models:GatedMean, eao" in said


def test_it_is_trained_and_used(here: Path, digits: Dataset, tmp_path: Path) -> None:
    losses = []
    metrics = train_cell(
        dataclasses.replace(cell(), train=TrainConfig(epochs=2, warmup_steps=5)),
        digits,
        storage=str(tmp_path / "cell"),
        device=torch.device("cpu"),
        on_epoch=lambda report: losses.append(report.metrics["loss/train"]) or True,
    )
    assert losses[1] < losses[0]
    assert metrics["probe/accuracy"] > 0.2  # ten classes
    found = raymm.load(tmp_path / "cell").transform(digits)
    assert list(found.parts) == ["mor", "zer", "fou", "mor+zer+fou"]
    np.testing.assert_array_equal(found.fusion, found.parts["mor+zer+fou"])


def test_a_place_without_a_sample_changes_nothing(here: Path, digits: Dataset) -> None:
    from raymm.data.batch import Batch
    from raymm.data.loader import ordered_batches
    from raymm.data.prepare import prepare

    torch.manual_seed(0)
    prepared = prepare(digits, cell().data)
    model = custom_model(NAME)(prepared.specs, cell().model).eval()
    _, batch = next(iter(ordered_batches(prepared.test, batch_size=9, rank=0, world_size=1)))
    padded = Batch(np.vstack([batch.presence, [[False] * 3]]), batch.blocks)
    seen, wanted = model(padded), model(batch)
    torch.testing.assert_close(seen.vectors[:, :9], wanted.vectors)
    assert not seen.vectors[:, 9].any() and not seen.present[:, 9].any()


def test_an_edited_model_is_another_cell(here: Path) -> None:
    before, digest = cell_key(cell(), "data"), source_digest(NAME)
    assert cell_key(cell(), "data") == before
    (here / "my_models.py").write_text(SOURCE.replace("GELU", "ReLU"))
    assert source_digest(NAME) != digest
    assert cell_key(cell(), "data") != before
    assert cell_key(cell("mca"), "data") == cell_key(cell("mca"), "data")


def test_what_is_wrong_is_said_before_anything_starts(here: Path, digits: Dataset) -> None:
    (here / "broken_models.py").write_text("import torch\nraise ValueError('no luck')\n")
    for name, said in (
        ("my_models:GatedMeen", "did you mean 'GatedMean'"),
        ("my_models:Tokenizer", "as no FusionModel"),
        ("nowhere.models:Net", "no module 'nowhere.models'"),
        ("my_models:", "package.module:Class"),
        ("my models:Net", "package.module:Class"),
        ("broken_models:Net", "raised ValueError: no luck"),
    ):
        settings = GridSettings(models=(name,), modalities=("mor", "zer", "fou"))
        with pytest.raises(ConfigError, match=said):
            settings.expand(digits)


def test_people_read_the_name_of_the_class() -> None:
    assert model_label("my_models:GatedMean") == "GatedMean"
    assert model_label("my_models:GatedMean, sweep b") == "GatedMean, sweep b"
