"""CBMF through the same training, checkpoint and metrics as every model, with each operation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from raymm.config import (
    FUSION_OPERATIONS,
    CellConfig,
    DataConfig,
    FusionOperation,
    ModelConfig,
    TrainConfig,
)
from raymm.data.dataset import Dataset, Modality
from raymm.data.pack import pack
from raymm.data.packed import open_packed
from raymm.errors import ConfigError
from tests.training.test_loop import run

SAMPLES = 240
CELL = CellConfig(
    data=DataConfig(sparsity=0.1),
    model=ModelConfig(name="cbmf", width=16),
    train=TrainConfig(epochs=6, batch_size=42, learning_rate=1e-2, warmup_steps=5),
)


def of_one_latent(kinds: tuple[str, ...]) -> Dataset:
    """Modalities that all show the same four numbers of a sample, each in its own way."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(SAMPLES, 4))
    modalities = []
    for index, kind in enumerate(kinds):
        lengths = rng.integers(2, 6, size=SAMPLES) if kind == "sequence" else np.ones(SAMPLES, int)
        seen = np.repeat(latent, lengths, axis=0) @ rng.normal(size=(4, 7))
        seen += 0.3 * rng.normal(size=seen.shape)
        modalities.append(
            Modality(
                name=f"m{index}",
                kind=kind,  # type: ignore[arg-type]
                rows=np.arange(SAMPLES),
                values=seen.astype(np.float32),
                offsets=np.concatenate([[0], np.cumsum(lengths)]) if kind == "sequence" else None,
                columns=tuple("abcdefg"),
            )
        )
    ids = np.array([f"{number:04}" for number in range(SAMPLES)])
    return Dataset("latent", ids, tuple(modalities), None, f"latent of {kinds}")


def with_operation(operation: FusionOperation) -> CellConfig:
    return dataclasses.replace(
        CELL, model=dataclasses.replace(CELL.model, fusion_operation=operation)
    )


@pytest.fixture(scope="module")
def sequences() -> Dataset:
    return of_one_latent(("sequence", "sequence"))


@pytest.mark.parametrize("operation", FUSION_OPERATIONS)
def test_every_operation_learns_on_sequences(
    operation: FusionOperation, sequences: Dataset, tmp_path: Path
) -> None:
    metrics, reports = run(with_operation(operation), sequences, tmp_path)
    assert reports[-1].metrics["loss/val"] < reports[0].metrics["loss/val"]
    # By chance 10 of the 36 test samples' fusion embeddings: .28.
    assert metrics["recall/at_10_mean"] > 0.8
    assert metrics["alignment/mean"] < 0.5


@pytest.mark.parametrize("operation", ["add", "multiply", "concatenate"])
def test_element_wise_operations_learn_on_tables_beside_sequences(
    operation: FusionOperation, tmp_path: Path
) -> None:
    mixed = of_one_latent(("table", "sequence", "table"))
    metrics, _ = run(with_operation(operation), mixed, tmp_path)
    assert metrics["recall/at_10_mean"] > 0.8


def test_a_packed_set_gives_the_same_numbers(sequences: Dataset, tmp_path: Path) -> None:
    pack(sequences, str(tmp_path / "packed"))
    packed = open_packed(str(tmp_path / "packed"))
    cell = with_operation("dot_attention")
    expected, _ = run(cell, sequences, tmp_path / "one")
    found, _ = run(cell, packed, tmp_path / "two")
    assert found == pytest.approx(expected, rel=1e-6)


def test_attention_over_a_table_ends_before_training(tmp_path: Path) -> None:
    mixed = of_one_latent(("table", "sequence"))
    with pytest.raises(ConfigError, match="but m0 has one vector a sample"):
        run(with_operation("additive_attention"), mixed, tmp_path)
    assert not list(tmp_path.iterdir())


def test_hard_targets_are_another_training(sequences: Dataset, tmp_path: Path) -> None:
    hard = dataclasses.replace(CELL, loss=dataclasses.replace(CELL.loss, cbmf_targets="hard"))
    soft_metrics, _ = run(CELL, sequences, tmp_path / "soft")
    hard_metrics, _ = run(hard, sequences, tmp_path / "hard")
    assert hard_metrics["loss/val"] < soft_metrics["loss/val"]  # soft targets have an entropy
