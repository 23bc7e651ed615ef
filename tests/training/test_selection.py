"""What a finished training reports is of its best epoch's weights, each number of its own split."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from raymm.config import CellConfig, DataConfig, LossConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.loader import ordered_batches, steps_per_epoch
from raymm.data.prepare import PreparedData, Split, prepare
from raymm.data.sources import load_dataset
from raymm.errors import TrainingError
from raymm.metrics.evaluate import embedding_metrics
from raymm.metrics.probes import probe_metrics
from raymm.models.embeddings import Embeddings
from raymm.training.evaluate import SplitEmbeddings, final_metrics
from raymm.training.learner import Learner
from raymm.training.loop import train_cell
from raymm.training.optimizer import learning_rate
from raymm.training.state import EpochReport

# Few samples and many steps: it overfits, so that the best epoch is not the last.
CELL = CellConfig(
    data=DataConfig(sparsity=0.2, validation_fraction=0.45, test_fraction=0.45),
    model=ModelConfig(name="zorro", width=16, depth=1, heads=1, head_size=8),
    train=TrainConfig(epochs=8, batch_size=32, warmup_steps=2, learning_rate=0.03),
)


@dataclass(frozen=True)
class Trained:
    """A finished training, its curve, and its kept weights in a model of their own."""

    prepared: PreparedData
    learner: Learner
    metrics: dict[str, float]
    curve: list[dict[str, float]]


def train(cell: CellConfig, dataset: Dataset, folder: Path) -> Trained:
    curve: list[dict[str, float]] = []

    def on_epoch(report: EpochReport) -> bool:
        curve.append(report.metrics)
        return True

    cpu = torch.device("cpu")
    metrics = train_cell(cell, dataset, storage=str(folder), device=cpu, on_epoch=on_epoch)
    prepared = prepare(dataset, cell.data)
    learner = Learner(prepared, cell)
    learner.load_state_dict(load_file(folder / "model.safetensors"))
    return Trained(prepared, learner, metrics, curve)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", modalities=("zer", "mor"))


@pytest.fixture(scope="module")
def trained(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(CELL, digits, tmp_path_factory.mktemp("cell"))


@torch.no_grad()
def whole(trained: Trained, split: Split) -> tuple[Embeddings, torch.Tensor]:
    """A split as one batch: its embeddings, and its fusion embeddings."""
    embeddings = trained.learner.embed(split.batch(np.arange(split.size)))
    return embeddings, trained.learner.model.fusion(embeddings)


@torch.no_grad()
def mean_loss(trained: Trained, split: Split) -> float:
    """Loss of a split in batches of the training's size, each weighed by its samples."""
    size = CELL.train.batch_size
    batches = ordered_batches(split, batch_size=size, rank=0, world_size=1)
    losses = [(float(trained.learner(batch)), len(where)) for where, batch in batches]
    return sum(loss * count for loss, count in losses) / split.size


def test_the_kept_weights_are_of_the_epoch_with_the_lowest_validation_loss(
    trained: Trained,
) -> None:
    losses = [epoch["loss/val"] for epoch in trained.curve]
    best = int(np.argmin(losses))
    assert best + 1 < len(losses), "this training has to overfit for the test to say anything"
    assert trained.metrics["epoch/best"] == best + 1
    assert trained.metrics["loss/val"] == losses[best]
    assert trained.metrics["loss/train"] == trained.curve[best]["loss/train"]
    assert mean_loss(trained, trained.prepared.validation) == pytest.approx(losses[best], rel=1e-4)
    assert mean_loss(trained, trained.prepared.test) != pytest.approx(losses[best], rel=1e-3)


def test_geometry_and_retrieval_are_of_the_test_split(trained: Trained) -> None:
    names = [spec.name for spec in trained.prepared.specs]
    expected = embedding_metrics(*whole(trained, trained.prepared.test), names)
    found = {name: trained.metrics[name] for name in expected}
    # The run's metrics are of the full weights, these of what is kept in half the space.
    assert found == pytest.approx(expected, rel=1e-2, abs=3e-3)


def test_probes_are_fitted_on_train_chosen_on_validation_and_scored_on_test(
    trained: Trained,
) -> None:
    prepared = trained.prepared
    splits = []
    for split in (prepared.train, prepared.validation, prepared.test):
        assert split.labels is not None
        splits.append((whole(trained, split)[1].numpy(), split.labels))
    expected = probe_metrics("classification", 10, *splits)
    found = {name: trained.metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_probes_penalty_is_not_chosen_on_the_test_split(trained: Trained) -> None:
    prepared = trained.prepared
    embedded = {
        name: SplitEmbeddings(*whole(trained, getattr(prepared, name)))
        for name in ("train", "validation", "test")
    }
    # Validation embeddings that tell nothing ask for another penalty than the test split's would.
    noise = torch.randn(embedded["validation"].fusion.shape, generator=torch.manual_seed(0))
    embedded["validation"] = dataclasses.replace(embedded["validation"], fusion=noise)
    found = final_metrics(prepared, embedded)["probe/loss"]
    splits = [
        (embedded[name].fusion.numpy(), getattr(prepared, name).labels)
        for name in ("train", "validation", "test")
    ]
    assert found == probe_metrics("classification", 10, *splits)["probe/loss"]
    chosen_on_test = probe_metrics("classification", 10, splits[0], splits[2], splits[2])
    assert found > chosen_on_test["probe/loss"] + 0.01


def test_the_checkpoint_remembers_the_best_epoch(
    trained: Trained, digits: Dataset, tmp_path: Path
) -> None:
    best = int(trained.metrics["epoch/best"])

    def stop_after_best(report: EpochReport) -> bool:
        return report.epoch <= best

    options = {"storage": str(tmp_path), "device": torch.device("cpu")}
    train_cell(CELL, digits, on_epoch=stop_after_best, checkpoint_interval_s=0, **options)  # type: ignore[arg-type]
    resumed = train_cell(CELL, digits, on_epoch=lambda _: True, **options)  # type: ignore[arg-type]
    assert resumed["probe/loss"] == pytest.approx(trained.metrics["probe/loss"], rel=1e-3)
    config = json.loads((tmp_path / "result.json").read_text())["config"]
    assert config["train"]["epochs"] == CELL.train.epochs


def changed(**settings: float) -> CellConfig:
    train = dataclasses.replace(CELL.train, epochs=2, **settings)  # type: ignore[arg-type]
    return dataclasses.replace(CELL, train=train)


def test_the_schedule_runs_over_all_epochs(trained: Trained) -> None:
    steps = steps_per_epoch(trained.prepared.train, CELL.train.batch_size)
    total = steps * CELL.train.epochs
    expected = [learning_rate(CELL.train, steps * n - 1, total) for n in range(1, 9)]
    assert [epoch["learning_rate"] for epoch in trained.curve] == pytest.approx(expected)


@pytest.mark.parametrize(
    "settings", [{"warmup_steps": 10**9}, {"clip_norm": 1e-20, "weight_decay": 0.0}]
)
def test_without_a_rate_or_a_gradient_to_speak_of_nothing_is_learnt(
    settings: dict[str, float], digits: Dataset, tmp_path: Path
) -> None:
    losses = [epoch["loss/val"] for epoch in train(changed(**settings), digits, tmp_path).curve]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_learned_temperature_stops_at_the_end_of_its_range(
    digits: Dataset, tmp_path: Path
) -> None:
    # An untrained model's best temperature is the highest: at 1 it pushes against the end.
    cell = dataclasses.replace(changed(), loss=LossConfig(temperature=1.0))
    assert float(train(cell, digits, tmp_path).learner.loss.log_scale.detach()) >= 0


def test_the_seed_decides_the_first_weights(digits: Dataset, tmp_path: Path) -> None:
    # With next to no learning rate, the kept weights are the first ones.
    first = [
        train(changed(warmup_steps=10**9, seed=seed), digits, tmp_path / str(run)).learner
        for run, seed in enumerate((0, 0, 1))
    ]
    tokens = [dict(learner.named_parameters())["model.fusion_tokens"] for learner in first]
    torch.testing.assert_close(tokens[0], tokens[1])
    assert not torch.allclose(tokens[0], tokens[2], atol=1e-2)


def test_weights_lost_in_the_last_step_are_not_passed_over(digits: Dataset, tmp_path: Path) -> None:
    # One step an epoch: its loss is finite, the weights it leaves are not.
    cell = changed(learning_rate=1e30, warmup_steps=0, batch_size=4096)
    with pytest.raises(TrainingError, match=r"validation loss is nan.*--learning-rate"):
        train(cell, digits, tmp_path)
