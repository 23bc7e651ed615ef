"""A finished cell's model is used again without its data set, and embeds as it did in training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from raymm.config import SMDF_MODELS, CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.prepare import prepare
from raymm.errors import DataError
from raymm.models.build import build_model
from raymm.science import SCIENCE_VERSION
from raymm.training.evaluate import embed_split
from raymm.training.loop import train_cell
from raymm.training.saved import SavedModel, load_model

SAMPLES, WIDTH, COMPONENTS = 60, 4, 3


def made_up() -> Dataset:
    """A table far from zero with gaps, and sequences of different lengths, neither of all samples."""
    rng = np.random.default_rng(0)
    table = (100 + 5 * rng.normal(size=(SAMPLES, WIDTH))).astype(np.float32)
    table[rng.random(table.shape) < 0.1] = np.nan
    rows = np.arange(0, SAMPLES, 2)
    lengths = rng.integers(1, 6, size=len(rows))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    vectors = rng.normal(size=(int(offsets[-1]), COMPONENTS)).astype(np.float32)
    ids = np.array([f"s{number:02}" for number in range(SAMPLES)])
    modalities = (
        Modality("blood", "table", np.arange(SAMPLES), table, None, ("na", "k", "ca", "ph")),
        Modality("speech", "sequence", rows, vectors, offsets, ("0", "1", "2")),
    )
    label = Label("outcome", "classification", np.arange(SAMPLES) % 2, ("ill", "well"))
    return Dataset("made-up", ids, modalities, label, "its fingerprint")


def cell(model: str) -> CellConfig:
    return CellConfig(
        data=DataConfig(sparsity=0.2),
        model=ModelConfig(name=model, width=8, depth=1, heads=1, head_size=8),  # type: ignore[arg-type]
        train=TrainConfig(epochs=1, batch_size=16, warmup_steps=1),
    )


def trained(model: str, folder: Path) -> SavedModel:
    train_cell(
        cell(model),
        made_up(),
        storage=str(folder),
        device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )
    return load_model(str(folder))


@pytest.fixture(scope="module")
def mca(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    return trained("mca", tmp_path_factory.mktemp("mca"))


def blood(dataset: Dataset) -> NDArray[np.float32]:
    """The table of all samples."""
    table: NDArray[np.float32] = dataset.modalities[0].values  # noqa: PD011
    return table.copy()


def sequences(dataset: Dataset) -> list[NDArray[np.float32] | None]:
    """The speech of every sample, None where it is missing."""
    speech = dataset.modalities[1]
    found: list[NDArray[np.float32] | None] = [None] * len(dataset.ids)
    assert speech.offsets is not None
    for row, sample in enumerate(speech.rows):
        span = slice(speech.offsets[row], speech.offsets[row + 1])
        found[sample] = speech.values[span]  # noqa: PD011
    return found


@pytest.mark.parametrize("model", SMDF_MODELS)
def test_test_split_is_embedded_as_after_training(model: str, tmp_path: Path) -> None:
    saved = trained(model, tmp_path)
    prepared = prepare(made_up(), cell(model).data)
    learner = build_model(prepared.specs, cell(model).model, cell(model).loss)
    learner.load_state_dict(saved.model.state_dict())
    split = prepared.test
    wanted = embed_split(learner, split, batch_size=7, rank=0, world_size=1)

    dataset = made_up()
    place = np.searchsorted(dataset.ids, split.ids)
    table = blood(dataset)[place]
    table[~split.presence[:, 0]] = np.nan
    speech = [sequences(dataset)[sample] for sample in place]
    speech = [s if there else None for s, there in zip(speech, split.presence[:, 1], strict=True)]
    got = saved.embed({"blood": table, "speech": speech})

    np.testing.assert_allclose(got.fusion, wanted.fusion, atol=1e-6)
    np.testing.assert_allclose(got.vectors, wanted.embeddings.vectors, atol=1e-6)
    np.testing.assert_array_equal(got.present, wanted.embeddings.present)
    assert not np.allclose(wanted.fusion[0], wanted.fusion[1])


def test_metrics_and_card_are_those_of_the_training(mca: SavedModel) -> None:
    assert mca.metrics == json.loads((Path(mca.folder) / "result.json").read_text())["metrics"]
    card = mca.card
    assert card.names == ("blood", "speech")
    assert card.columns == (("na", "k", "ca", "ph"), ("0", "1", "2"))
    assert (card.label, card.task, card.classes) == ("outcome", "classification", ("ill", "well"))
    assert (card.dataset, card.fingerprint) == ("made-up", "its fingerprint")
    assert card.config == cell("mca")


def test_frames_are_laid_against_each_other_and_columns_taken_by_name(mca: SavedModel) -> None:
    dataset = made_up()
    table = pd.DataFrame(blood(dataset), dataset.ids, ["na", "k", "ca", "ph"])
    speech = pd.Series(dict(zip(dataset.ids, sequences(dataset), strict=True)))
    wanted = mca.embed({"blood": table.to_numpy(), "speech": sequences(dataset)})
    mixed = table.iloc[::-1][["ph", "ca", "na", "k"]].assign(age=1)
    got = mca.embed({"blood": mixed, "speech": speech.dropna().iloc[::3]})
    assert got.ids.tolist() == dataset.ids[::-1].tolist()
    has_both = np.isin(got.ids, speech.dropna().iloc[::3].index)
    np.testing.assert_array_equal(got.present[1], has_both)
    np.testing.assert_allclose(got.vectors[0], wanted.vectors[0][::-1], atol=1e-6)
    np.testing.assert_allclose(got.fusion[has_both], wanted.fusion[::-1][has_both], atol=1e-6)


def test_a_whole_data_set_is_embedded_by_the_modalities_it_has(mca: SavedModel) -> None:
    dataset = made_up()
    both = mca.embed_dataset(dataset)
    given = mca.embed({"blood": blood(dataset), "speech": sequences(dataset)})
    np.testing.assert_allclose(both.fusion, given.fusion, atol=1e-6)
    alone = Dataset("blood", dataset.ids, dataset.modalities[:1], None, "")
    np.testing.assert_allclose(
        mca.embed_dataset(alone).fusion,
        mca.embed({"blood": blood(dataset)}).fusion,
        atol=1e-6,
    )
    assert both.names == ("blood", "speech", "blood+speech")


def good() -> NDArray[np.float32]:
    return np.full((2, WIDTH), 100, np.float32)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({}, "No modality is given"),
        ({"bloood": good()}, "did you mean 'blood'"),
        ({"blood": good()[:, :3]}, r"shape \(2, 3\), wanted is \(samples, 4\)"),
        ({"blood": np.array([["a"] * WIDTH])}, "cannot be read as numbers"),
        ({"blood": good() * np.inf}, "infinite"),
        ({"blood": good(), "speech": [None]}, "different numbers of samples: blood 2, speech 1"),
        ({"blood": good(), "speech": pd.Series([None, None])}, "some as arrays"),
        ({"blood": np.array([good()[0], [np.nan] * WIDTH])}, "1 of 2 samples have none .* '1'"),
        ({"blood": pd.DataFrame(good(), columns=["na", "k", "ca", "mg"])}, "lacks the column 'ph'"),
        ({"blood": pd.DataFrame(good(), ["x", "x"])}, "several rows of sample 'x'"),
        ({"speech": [np.zeros((2, 9))]}, r"sequence 0 has the shape \(2, 9\)"),
        ({"speech": [np.zeros((99, COMPONENTS))]}, "sequences of up to 99 vectors; the longest"),
        ({"speech": pd.DataFrame(good())}, "is a sequence, but given as a frame"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    mca: SavedModel, tables: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        mca.embed(tables)  # type: ignore[arg-type]


def test_a_gap_in_a_table_that_had_none_is_refused(tmp_path: Path) -> None:
    dataset = made_up()
    blood, speech = dataset.modalities
    whole = Modality("blood", "table", blood.rows, np.nan_to_num(blood.values), None, blood.columns)
    complete = Dataset("complete", dataset.ids, (whole, speech), dataset.label, "f")
    train_cell(
        cell("zorro"), complete, storage=str(tmp_path), device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )  # fmt: skip
    gap = good()
    gap[0, 0] = np.nan
    with pytest.raises(DataError, match="blood lacks values"):
        load_model(str(tmp_path)).embed({"blood": gap})


def test_a_folder_without_a_model_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished model"):
        load_model(str(tmp_path))
    trained("eao", tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        load_model(str(tmp_path))


def test_another_science_version_is_refused(tmp_path: Path) -> None:
    trained("eao", tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    card["science_version"] = SCIENCE_VERSION + 1
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="science version"):
        load_model(str(tmp_path))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    trained("eao", tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    card["config"]["model"]["width"] = 12
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="does not fit its own description"):
        load_model(str(tmp_path))


def test_a_model_is_loaded_and_used_without_ray_and_mlflow(mca: SavedModel) -> None:
    script = (
        "import sys, numpy as np\n"
        "from raymm.training.saved import load_model\n"
        f"model = load_model({mca.folder!r})\n"
        "model.embed({'blood': np.full((1, 4), 100.0)})\n"
        "print(*sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"ray", "mlflow"} & set(said.stdout.split())


def test_a_model_is_loaded_from_an_fsspec_address(mca: SavedModel) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(mca.folder, "/models/one", recursive=True)
    there = load_model("memory://models/one")
    np.testing.assert_array_equal(
        there.embed({"blood": good()}).fusion, mca.embed({"blood": good()}).fusion
    )
