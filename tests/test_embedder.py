"""A trained model taken home: loaded from a folder or a run, fed tables with holes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import raymm
from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.embedder import Embedder
from raymm.errors import ConfigError, DataError
from raymm.sweep.cells import Cell, CellResult, cell_key
from raymm.sweep.ledger import Ledger
from raymm.training.loop import train_cell

USED = ("mor", "zer")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", USED, None)


def config() -> CellConfig:
    return CellConfig(
        data=DataConfig(modalities=USED, sparsity=0.5, test_fraction=0.9, validation_fraction=0.05),
        model=ModelConfig(name="mca", width=8, depth=1, head_size=8, fusion_tokens=1),
        train=TrainConfig(epochs=1, warmup_steps=1),
    )


@pytest.fixture(scope="module")
def folder(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cell")
    train_cell(
        config(),
        digits,
        storage=str(place),
        device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )
    return place


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    return raymm.load(folder)


@pytest.fixture(scope="module")
def tables(digits: Dataset) -> dict[str, pd.DataFrame]:
    """The first samples; the second modality lacks some of them, and has others."""
    frames = {
        each.name: pd.DataFrame(
            each.values[:12],  # noqa: PD011
            index=[f"patient {row}" for row in each.rows[:12]],
            columns=list(each.columns),
        )
        for each in digits.modalities
    }
    frames["zer"] = frames["zer"].iloc[4:]
    frames["mor"] = frames["mor"].iloc[:10]
    return frames


def test_fusion_has_all_samples_and_parts_those_that_have_them(
    embedder: Embedder, tables: dict[str, pd.DataFrame]
) -> None:
    found = embedder.transform(tables)
    first = [f"patient {row}" for row in range(12)]
    assert list(found.fusion.index) == first
    assert list(found.fusion.columns) == list(embedder.get_feature_names_out())
    assert list(found.parts) == ["mor", "zer", "mor+zer"]
    assert list(found.parts["mor"].index) == first[:10]
    assert list(found.parts["zer"].index) == first[4:]
    seen = embedder.model.embed(tables)
    np.testing.assert_array_equal(found.fusion, seen.fusion)
    np.testing.assert_array_equal(found.parts["zer"], seen.vectors[1, 4:])
    assert np.isfinite(found.fusion.to_numpy()).all()


def test_rows_of_nan_and_rows_left_out_are_the_same(
    embedder: Embedder, tables: dict[str, pd.DataFrame]
) -> None:
    everyone = [f"patient {row}" for row in range(12)]
    arrays = {name: frame.reindex(everyone).to_numpy() for name, frame in tables.items()}
    found = embedder.transform(arrays)
    assert list(found.fusion.index) == list(range(12))
    np.testing.assert_allclose(found.fusion, embedder.transform(tables).fusion, atol=1e-6)


def test_columns_are_taken_by_name(embedder: Embedder, tables: dict[str, pd.DataFrame]) -> None:
    turned = {name: frame.iloc[:, ::-1].assign(extra=1.0) for name, frame in tables.items()}
    np.testing.assert_array_equal(
        embedder.transform(turned).fusion, embedder.transform(tables).fusion
    )


def test_a_whole_data_set_is_embedded_under_its_ids(embedder: Embedder, digits: Dataset) -> None:
    found = embedder.fit(digits).fit_transform(digits)
    assert list(found.fusion.index) == list(digits.ids)


def test_similarity_is_the_cosine(embedder: Embedder, tables: dict[str, pd.DataFrame]) -> None:
    found = embedder.similarity(tables)
    rows = embedder.transform(tables).fusion.to_numpy(dtype=np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit @ unit.T, atol=1e-6)
    assert found.loc["patient 3", "patient 3"] == pytest.approx(1, abs=1e-6)


def test_retrieval_finds_what_a_sort_of_all_cosines_finds(
    embedder: Embedder, tables: dict[str, pd.DataFrame]
) -> None:
    queries = embedder.transform(tables).parts["zer"]
    found = embedder.retrieve(queries, tables, k=3)
    cosines = embedder.similarity(queries, tables)
    assert list(found.columns) == ["query", "rank", "found", "similarity"]
    for query, finds in found.groupby("query"):
        best = cosines.loc[query].sort_values(ascending=False).head(3)
        assert list(finds["rank"]) == [1, 2, 3]
        np.testing.assert_allclose(finds["similarity"], best, atol=1e-6)
        assert list(finds["found"]) == list(best.index)


def test_what_does_not_fit_is_named(embedder: Embedder, tables: dict[str, pd.DataFrame]) -> None:
    zer = tables["zer"]
    column = zer.columns[0]
    for wrong, said in (
        ({"zers": zer}, "did you mean 'zer'"),
        ({"zer": zer.drop(columns=column)}, f"lacks the column '{column}'"),
        ({"zer": zer.iloc[:0]}, "no sample to embed"),
        ({}, "No modality is given"),
        ({"zer": zer.to_numpy()[:, :3]}, "shape \\(8, 3\\)"),
        (zer, "Give a mapping of modality to table"),
        ({"zer": zer * np.nan}, "have none of the modalities"),
        ({"zer": pd.concat([zer, zer])}, "several rows of sample"),
    ):
        with pytest.raises(DataError, match=said):
            embedder.transform(wrong)  # type: ignore[arg-type]
    holed = zer.copy()
    holed.iloc[2, 1] = np.nan  # the data it was trained on have no gaps
    with pytest.raises(DataError, match="rows without gaps"):
        embedder.transform({"zer": holed})
    for k in (0, 9):
        with pytest.raises(DataError, match=f"k = {k} is out of range: the gallery has 8"):
            embedder.retrieve(tables, {"zer": zer}, k=k)
    with pytest.raises(DataError, match="of two models"):
        embedder.similarity(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(DataError, match="no finite numbers"):
        embedder.similarity(np.full((2, 3), np.nan))


def test_folders_and_settings_that_are_wrong_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished model"):
        raymm.load(tmp_path)
    with pytest.raises(ConfigError, match="batch_size = 0"):
        raymm.load(folder, batch_size=0)


def test_a_run_leads_to_its_model(
    digits: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="has no ledger"):
        raymm.load("runs:/0123")
    storage = tmp_path / "storage"
    cell = Cell(cell_key(config(), digits.fingerprint), config())
    storage.mkdir()
    (storage / cell.key).symlink_to(folder)
    uri = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger(uri, digits.name) as ledger:
        ledger.open_sweep("one", {}, folder=tmp_path, storage=str(storage), cells=[cell])
        ledger.start(cell)
        assert ledger.flush(20)
        run = ledger.seen([cell])[cell.key].run_id
        with pytest.raises(DataError, match="is running, not finished"):
            raymm.load(f"runs:/{run}", tracking_uri=uri)
        ledger.end(CellResult(cell.config, digits.name, cell.key, "finished", metrics={"a": 1.0}))
        ledger.close_sweep("FINISHED")
        assert ledger.settle(20)
    parents = [each.run_id for each in ledger.store.runs("tags.`raymm.kind` = 'sweep'")]
    with pytest.raises(DataError, match="not a cell's"):
        raymm.load(f"runs:/{parents[0]}", tracking_uri=uri)
    found = raymm.load(f"runs:/{run}", tracking_uri=uri)
    assert found.model.folder == str(storage / cell.key)
    assert found.columns["zer"] == digits.modalities[1].columns


def test_neither_ray_nor_mlflow_is_needed(folder: Path) -> None:
    script = f"""
import sys
for blocked in ("ray", "mlflow", "optuna"):
    sys.modules[blocked] = None  # importing it raises ImportError
import numpy as np, raymm
embedder = raymm.load({str(folder)!r})
widths = {{name: len(columns) for name, columns in embedder.columns.items()}}
tables = {{name: np.random.default_rng(0).normal(size=(3, w)) for name, w in widths.items()}}
print(embedder.transform(tables).fusion.shape, len(embedder.retrieve(tables, tables, k=2)))
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.split("\n")[0] == "(3, 8) 6"
