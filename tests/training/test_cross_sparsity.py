"""A cell's weights at other test sparsities: its own figures on the diagonal, and nothing trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.errors import DataError
from raymm.metrics.retrieval import median_rank, ranks
from raymm.training.cross_sparsity import FILE, cross_sparsity, read_scores
from raymm.training.evaluate import embed_split
from raymm.training.loop import train_cell
from raymm.training.saved import load_model

CELL = CellConfig(
    data=DataConfig(sparsity=0.4, modalities=("zer", "mor")),
    model=ModelConfig(name="zorro", width=8, depth=1, heads=1, head_size=8),
    train=TrainConfig(epochs=2, batch_size=64, warmup_steps=5),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", modalities=("zer", "mor"))


@pytest.fixture(scope="module")
def cell(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, float]]:
    """A trained cell's folder and metrics."""
    folder, cpu = str(tmp_path_factory.mktemp("cell")), torch.device("cpu")
    return folder, train_cell(
        CELL, digits, storage=folder, device=cpu, on_epoch=lambda report: True
    )


def test_the_diagonal_is_what_the_cell_came_to(
    cell: tuple[str, dict[str, float]], digits: Dataset
) -> None:
    folder, metrics = cell
    found = cross_sparsity(folder, digits, (0.0, 0.4, 0.8))
    own = {name: value for name, value in found[0.4].items() if name != "sparsity/realised"}
    assert len(own) > 15
    # As near as weights kept in half the space are to those that were scored.
    assert own == pytest.approx({name: metrics[name] for name in own}, rel=0.02, nan_ok=True)
    assert found[0.0]["sparsity/realised"] == 0 < found[0.4]["sparsity/realised"]
    sizes = [found[s]["retrieval/gallery_size"] for s in (0.0, 0.4, 0.8)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_standardisation_stays_the_one_of_the_training(
    cell: tuple[str, dict[str, float]], digits: Dataset
) -> None:
    """By hand: whole samples, standardised with what the masked train split had."""
    folder, _ = cell
    own = prepare(digits, CELL.data).train
    test = prepare(digits, dataclasses.replace(CELL.data, sparsity=0.0)).test
    columns = tuple(
        dataclasses.replace(column, scaling=mine.scaling)
        for column, mine in zip(test.columns, own.columns, strict=True)
    )
    test = dataclasses.replace(test, columns=columns)
    seen = embed_split(load_model(folder).model, test, batch_size=500, rank=0, world_size=1)
    everyone = torch.arange(test.size)
    by_hand = median_rank(ranks(seen.embeddings.vectors[0], seen.fusion, everyone))
    found = cross_sparsity(folder, digits, (0.0,))[0.0]
    assert found["rank/median_zer"] == by_hand


def test_what_is_known_is_not_computed_again(
    cell: tuple[str, dict[str, float]], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = cell
    first = cross_sparsity(folder, digits, (0.2,))
    monkeypatch.setattr("raymm.training.cross_sparsity.load_model", lambda _: 1 / 0)
    assert cross_sparsity(folder, digits, (0.2,)) == first
    with pytest.raises(ZeroDivisionError):
        cross_sparsity(folder, digits, (0.2, 0.3))


def test_a_damaged_file_is_as_none(cell: tuple[str, dict[str, float]], tmp_path: Path) -> None:
    assert read_scores(str(tmp_path)) == {}
    (tmp_path / FILE).write_text("{not json")
    assert read_scores(str(tmp_path)) == {}
    (tmp_path / FILE).write_text(json.dumps({"science_version": -1, "by_sparsity": {"0.0": {}}}))
    assert read_scores(str(tmp_path)) == {}


def test_other_data_and_no_model_are_refused(
    cell: tuple[str, dict[str, float]], digits: Dataset, tmp_path: Path
) -> None:
    folder, _ = cell
    changed = load_dataset("digits", modalities=("zer", "fou"))
    assert changed.fingerprint != digits.fingerprint
    with pytest.raises(DataError, match="trained on other data"):
        cross_sparsity(folder, changed, (0.1,))
    with pytest.raises(DataError, match="no finished model"):
        cross_sparsity(str(tmp_path / "nowhere"), digits, (0.1,))
