"""What a cell keeps of its test split agrees with its metrics, and nothing else is read as it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.errors import DataError
from raymm.training.evaluate import embed_split
from raymm.training.loop import train_cell
from raymm.training.samples import FILE, MAPPED, read_samples
from raymm.training.saved import load_model

NAMES = ("zer", "mor")
CELL = CellConfig(
    data=DataConfig(sparsity=0.4),
    model=ModelConfig(name="mca", width=8, depth=1, heads=1, head_size=8),
    train=TrainConfig(epochs=1, batch_size=64, warmup_steps=5),
)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], pd.DataFrame]:
    """A trained cell's folder, its metrics, and its samples."""
    folder = tmp_path_factory.mktemp("cell")
    dataset = load_dataset("digits", modalities=NAMES)
    cpu = torch.device("cpu")
    metrics = train_cell(
        CELL, dataset, storage=str(folder), device=cpu, on_epoch=lambda report: True
    )
    samples = read_samples(str(folder))
    assert samples is not None
    return folder, metrics, samples


def test_samples_are_those_of_the_masked_test_split(
    cell: tuple[Path, dict[str, float], pd.DataFrame],
) -> None:
    _, _, samples = cell
    test = prepare(load_dataset("digits", modalities=NAMES), CELL.data).test
    assert samples["id"].to_list() == test.ids.tolist()
    assert test.labels is not None and samples["label"].to_list() == test.labels.tolist()
    for index, name in enumerate(NAMES):
        assert (samples[f"has/{name}"] == test.presence[:, index]).all()
        assert (samples[f"rank/{name}"].notna() == samples[f"has/{name}"]).all()
    assert samples.attrs["modalities"] == list(NAMES)
    assert samples.attrs["task"] == "classification" and len(samples.attrs["classes"]) == 10


def test_metrics_are_sums_over_the_samples(
    cell: tuple[Path, dict[str, float], pd.DataFrame],
) -> None:
    _, metrics, samples = cell
    for name in NAMES:
        ranks = samples[f"rank/{name}"].dropna()
        assert ranks.median() == metrics[f"rank/median_{name}"]
        assert (ranks <= 5).mean() == pytest.approx(metrics[f"recall/at_5_{name}"])
    said = np.stack(samples["probe/said"].to_list())
    assert (said.argmax(1) == samples["label"]).mean() == pytest.approx(metrics["probe/accuracy"])
    assert samples["probe/loss"].mean() == pytest.approx(metrics["probe/loss"], rel=1e-6)
    own = -said[np.arange(len(said)), samples["label"]]
    assert own == pytest.approx(samples["probe/loss"].to_numpy())


def test_the_map_keeps_the_distances_of_unit_embeddings(
    cell: tuple[Path, dict[str, float], pd.DataFrame],
) -> None:
    folder, _, samples = cell
    kept = samples.dropna(subset=["map/fusion"])
    assert len(kept) == min(MAPPED, len(samples))
    shown = np.stack(kept["map/fusion"].to_list())
    assert shown.shape[1] == 8  # all of the embedding's width: a rotation, which keeps distances
    split = prepare(load_dataset("digits", modalities=NAMES), CELL.data).test
    seen = embed_split(load_model(str(folder)).model, split, batch_size=99, rank=0, world_size=1)
    units = torch.nn.functional.normalize(seen.fusion[kept.index.to_list()], dim=1)
    expected = torch.cdist(units.double(), units.double()).numpy()
    found = np.linalg.norm(shown[:, None] - shown[None], axis=2)
    assert found == pytest.approx(expected, abs=2e-3)
    rows = [samples[f"map/{name}"].dropna() for name in ("fusion", *NAMES)]
    variance = np.stack([row for column in rows for row in column]).var(axis=0)
    assert (np.diff(variance) <= 0).all()
    assert samples["map/zer"].notna().sum() == kept["has/zer"].sum()


def test_no_file_is_none_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    assert read_samples(str(tmp_path / "nowhere")) is None
    (tmp_path / FILE).write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"samples\.parquet cannot be read.*remove it"):
        read_samples(str(tmp_path))
