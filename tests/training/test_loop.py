"""Training of a cell: it learns, repeats itself, resumes exactly, and fails with a reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from raymm.config import (
    GRID_MODELS,
    CellConfig,
    DataConfig,
    ModelConfig,
    ModelName,
    TrainConfig,
)
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.errors import ConfigError, TrainingError
from raymm.training.checkpoint import Checkpoint, CheckpointStore
from raymm.training.dispatch import Score
from raymm.training.loop import train_cell
from raymm.training.sizes import OF_THE_MACHINE
from raymm.training.state import EpochReport
from raymm.training.worker import ProcessState
from tests.ranks import on_ranks

CPU = torch.device("cpu")
CELL = CellConfig(
    data=DataConfig(sparsity=0.4),
    model=ModelConfig(name="mca", width=8, depth=1, heads=1, head_size=8),
    train=TrainConfig(epochs=3, batch_size=64, warmup_steps=5),
)


def small_digits() -> Dataset:
    return load_dataset("digits", modalities=("zer", "mor"))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return small_digits()


def with_training(**changes: object) -> CellConfig:
    return dataclasses.replace(CELL, train=dataclasses.replace(CELL.train, **changes))  # type: ignore[arg-type]


def run(
    cell: CellConfig,
    dataset: Dataset,
    folder: Path,
    stop_after: int = 0,
    interval_s: float = 0,
    score: Score = "test",
) -> tuple[dict[str, float], list[EpochReport]]:
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> bool:
        reports.append(report)
        return report.epoch != stop_after

    metrics = train_cell(
        cell,
        dataset,
        storage=str(folder),
        device=CPU,
        on_epoch=on_epoch,
        score=score,
        checkpoint_interval_s=interval_s,
    )
    return {
        key: value for key, value in metrics.items() if not key.startswith(OF_THE_MACHINE)
    }, reports


@pytest.fixture(scope="module")
def calm(
    digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, float], list[EpochReport]]:
    """An uninterrupted training."""
    return run(CELL, digits, tmp_path_factory.mktemp("calm"))


def curve(reports: list[EpochReport]) -> list[tuple[float, float]]:
    return [(r.metrics["loss/train"], r.metrics["loss/val"]) for r in reports]


def test_it_learns_and_reports_all_stable_names(
    calm: tuple[dict[str, float], list[EpochReport]],
) -> None:
    metrics, reports = calm
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[-1].metrics["loss/train"] < reports[0].metrics["loss/train"]
    assert metrics["loss/val"] == min(r.metrics["loss/val"] for r in reports)
    assert metrics["probe/accuracy"] > 0.25
    assert 0.25 < metrics["sparsity/realised"] < metrics["sparsity/before_dropping"] < 0.45
    names = {"uniformity/fusion", "alignment/mean", "rank/median_zer", "recall/at_10_mean"}
    assert names | {"probe/auprc", "probe/loss", "uniformity/unimodal_mean"} <= set(metrics)


def test_same_seed_same_numbers_other_seed_others(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    again, _ = run(CELL, digits, tmp_path / "again")
    assert again == calm[0]
    other, _ = run(with_training(seed=1), digits, tmp_path / "other")
    assert other["loss/val"] != calm[0]["loss/val"]
    assert other["sparsity/realised"] == calm[0]["sparsity/realised"]


def test_a_cell_after_others_in_its_process_is_as_one_alone(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    baseline = ProcessState.capture()
    eao = dataclasses.replace(CELL.model, name="eao")
    run(dataclasses.replace(CELL, model=eao), digits, tmp_path / "before", stop_after=1)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    baseline.restore()
    metrics, reports = run(CELL, digits, tmp_path / "after")
    assert metrics == calm[0]
    assert curve(reports) == curve(calm[1])


def test_a_resumed_training_ends_as_an_uninterrupted_one(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    stopped, before = run(CELL, digits, tmp_path, stop_after=2)
    assert stopped == {}
    resumed, after = run(CELL, digits, tmp_path)
    assert after[:2] == before  # told again as they were, for whoever has not heard of them
    assert curve(after) == curve(calm[1])
    assert resumed == pytest.approx(calm[0], abs=1e-6)


def test_a_stopped_training_leaves_a_checkpoint_of_its_last_epoch(
    digits: Dataset, tmp_path: Path
) -> None:
    run(CELL, digits, tmp_path, stop_after=2, interval_s=1000.0)
    found = CheckpointStore(str(tmp_path)).newest()
    assert found is not None and found.epoch == 2


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    _, before = run(CELL, digits, tmp_path, stop_after=2)
    weights = tmp_path / "epoch_00002" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    resumed, reports = run(CELL, digits, tmp_path)
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[0] == before[0] and reports[1] != before[1]  # trained again: another throughput
    assert resumed == pytest.approx(calm[0], abs=1e-6)


def test_a_finished_cell_leaves_its_weights_and_no_checkpoint(
    digits: Dataset, tmp_path: Path
) -> None:
    metrics, _ = run(with_training(epochs=1), digits, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"model.safetensors", "result.json"}
    assert not list(tmp_path.glob("epoch_*"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metrics"]["probe/auprc"] == metrics["probe/auprc"]
    assert len(result["curve"]) == 1


def test_a_finished_cell_is_reported_as_it_was_and_not_trained_again(
    digits: Dataset, tmp_path: Path
) -> None:
    cell = with_training(epochs=2)
    first, reports = run(cell, digits, tmp_path)
    written = (tmp_path / "model.safetensors").stat().st_mtime_ns
    again, repeated = run(cell, digits, tmp_path)
    assert (again, repeated) == (first, reports)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("score", ["test", "validation"])
def test_checkpoints_that_a_killed_worker_left_of_a_finished_cell_are_removed(
    score: Score, digits: Dataset, tmp_path: Path
) -> None:
    cell = with_training(epochs=1)
    run(cell, digits, tmp_path)
    for epoch in (1, 2):
        left = Checkpoint(epoch, {"weights": {"a": torch.ones(2)}}, {"epoch": epoch})
        CheckpointStore(str(tmp_path)).save(left)
    run(cell, digits, tmp_path, score=score)
    assert not list(tmp_path.glob("epoch_*"))
    assert (tmp_path / "model.safetensors").exists()


def test_asked_for_validation_the_test_split_is_left_alone_until_it_is_asked_for(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    asked = run(CELL, digits, tmp_path / "cell", score="validation")[0]
    assert "probe/loss" not in asked
    assert asked["val/probe/loss"] != calm[0]["probe/loss"]
    assert asked["loss/val"] == calm[0]["loss/val"]
    assert result_of(tmp_path / "cell")["scored"] == "validation"
    assert set(calm[0]) == {name.removeprefix("val/") for name in asked}

    scored, told = run(CELL, digits, tmp_path / "cell", score="test")
    assert scored == pytest.approx(calm[0], abs=1e-6)
    assert curve(told) == curve(calm[1])
    assert result_of(tmp_path / "cell")["scored"] == "test"
    assert run(CELL, digits, tmp_path / "cell")[0] == scored
    assert run(CELL, digits, tmp_path / "cell", score="validation")[0] == asked


def test_a_cell_scored_on_the_test_split_can_be_asked_for_validation(
    calm: tuple[dict[str, float], list[EpochReport]], digits: Dataset, tmp_path: Path
) -> None:
    run(CELL, digits, tmp_path / "both")
    later, _ = run(CELL, digits, tmp_path / "both", score="validation")
    first, _ = run(CELL, digits, tmp_path / "validation", score="validation")
    alike = {name: value for name, value in first.items() if not name.startswith(OF_THE_MACHINE)}
    assert {name: later[name] for name in alike} == alike  # to a trial it is as good as its own
    assert run(CELL, digits, tmp_path / "both")[0] == calm[0]


def result_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text()))


def test_a_loss_that_is_not_finite_ends_the_training_and_names_the_step(
    digits: Dataset, tmp_path: Path
) -> None:
    cell = with_training(learning_rate=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"at step \d+ of epoch 1.*--learning-rate"):
        run(cell, digits, tmp_path)


@pytest.mark.parametrize("name", GRID_MODELS)
def test_mixed_precision_trains_much_as_full_precision_does(
    name: ModelName, digits: Dataset, tmp_path: Path
) -> None:
    curves = []
    for precision in ("fp32", "bf16"):
        cell = with_training(epochs=1, precision=precision)
        cell = dataclasses.replace(cell, model=dataclasses.replace(cell.model, name=name))
        curves += curve(run(cell, digits, tmp_path / precision)[1])
    assert curves[1] != curves[0]
    assert curves[1] == pytest.approx(curves[0], rel=0.02)


def rank_of_two(rank: int, folder: Path) -> None:
    metrics, reports = run(CELL, small_digits(), folder / "cell")
    if rank == 0:
        found = {"metrics": metrics, "curve": curve(reports)}
        (folder / "found.json").write_text(json.dumps(found))
    else:
        assert metrics == {} and reports == []


def test_two_ranks_train_as_one_does(
    calm: tuple[dict[str, float], list[EpochReport]], tmp_path: Path
) -> None:
    on_ranks(rank_of_two, 2, tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    for ours, theirs in zip(found["curve"], curve(calm[1]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert found["metrics"]["loss/val"] == pytest.approx(calm[0]["loss/val"], rel=1e-4)
    assert found["metrics"]["alignment/mean"] == pytest.approx(calm[0]["alignment/mean"], rel=1e-2)


def test_a_batch_smaller_than_the_ranks_is_refused(digits: Dataset) -> None:
    from raymm.data.loader import train_batches
    from raymm.data.prepare import prepare

    split = prepare(digits, CELL.data).train
    with pytest.raises(ConfigError, match="smaller than the 4 workers"):
        train_batches(split, batch_size=2, seed=0, epoch=1, rank=0, world_size=4)
