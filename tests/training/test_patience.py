"""Early stopping: by the validation loss alone, the same on all ranks, the same after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data.dataset import Dataset
from tests.ranks import on_ranks
from tests.training.test_loop import curve, run, small_digits, with_training

STANDSTILL = {"learning_rate": 1e-30, "epochs": 20, "batch_size": 512}
"""No weight changes, so that no epoch is better than the first."""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return small_digits()


def epochs_by_definition(losses: list[float], patience: int) -> int:
    """Epochs until `patience` in a row have brought no new lowest loss; all where that never is."""
    for last in range(1, len(losses) + 1):
        seen = losses[:last]
        if last - (seen.index(min(seen)) + 1) >= patience:
            return last
    return len(losses)


def test_training_ends_when_the_validation_loss_no_longer_falls(
    digits: Dataset, tmp_path: Path
) -> None:
    settings = {"epochs": 15, "batch_size": 256, "learning_rate": 0.05, "warmup_steps": 0}
    _, everything = run(with_training(**settings), digits, tmp_path / "all")
    losses = [validation for _, validation in curve(everything)]
    assert len(losses) == 15
    expected = epochs_by_definition(losses, patience=2)
    assert 3 <= expected < 15, losses
    metrics, reports = run(with_training(**settings, patience=2), digits, tmp_path / "some")
    assert curve(reports) == curve(everything)[:expected]
    assert metrics["epoch/best"] == losses.index(min(losses[:expected])) + 1
    assert metrics["loss/val"] == min(losses[:expected])


@pytest.mark.parametrize("stop_after", [2, 4])
def test_a_resumed_training_is_as_patient_as_an_uninterrupted_one(
    stop_after: int, digits: Dataset, tmp_path: Path
) -> None:
    cell = with_training(**STANDSTILL, patience=3)
    calm, reports = run(cell, digits, tmp_path / "calm")
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    _, before = run(cell, digits, tmp_path / "cut", stop_after=stop_after)
    assert len(before) == stop_after
    resumed, after = run(cell, digits, tmp_path / "cut")
    assert curve(after) == curve(reports)  # what was trained before is told again
    assert resumed == pytest.approx(calm, abs=1e-6)


def rank_of_two(rank: int, folder: Path) -> None:
    _, reports = run(with_training(**STANDSTILL, patience=2), small_digits(), folder / "cell")
    (folder / f"epochs-{rank}").write_text(str(len(reports)))


def test_ranks_stop_together(tmp_path: Path) -> None:
    on_ranks(rank_of_two, 2, tmp_path)
    assert (tmp_path / "epochs-0").read_text() == "3"
    assert (tmp_path / "epochs-1").read_text() == "0"
