"""`raymm replay`: a recorded cell is trained again, and its numbers are held against the record."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from raymm.cli import main
from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.errors import SweepError
from raymm.sweep.cells import Cell, CellResult, cell_key
from raymm.sweep.replay import Compared, find_cell, load_for, replay
from raymm.sweep.tags import MICRO_BATCHES
from raymm.tracking import Store
from raymm.training.loop import train_cell
from raymm.training.state import EpochReport
from tests.sweep.ledgers import opened

CONFIG = CellConfig(
    data=DataConfig(modalities=("kar", "zer"), label="digit", sparsity=0.4),
    model=ModelConfig(width=8, depth=1, head_size=8),
    train=TrainConfig(epochs=2, batch_size=128),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", ("kar", "zer"), "digit")


@pytest.fixture(scope="module")
def trained(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cell, CellResult]:
    cell = Cell(cell_key(CONFIG, digits.fingerprint), CONFIG)
    curve = []

    def heard(report: object) -> bool:
        curve.append({"epoch": float(report.epoch), **report.metrics})  # type: ignore[attr-defined]
        return True

    torch.set_num_threads(1)
    folder = str(tmp_path_factory.mktemp("cell"))
    metrics = train_cell(CONFIG, digits, storage=folder, device=torch.device("cpu"), on_epoch=heard)
    result = CellResult(CONFIG, "digits", cell.key, "finished", metrics=metrics, curve=tuple(curve))
    return cell, result


def record(uri: str, cell: Cell, result: CellResult) -> None:
    with opened(uri) as ledger:
        ledger.start(cell)
        ledger.log_epochs(cell.key, result.curve)
        ledger.end(result)


def test_a_cell_gets_the_same_numbers_again_by_key_and_by_name(
    uri: str, trained: tuple[Cell, CellResult], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cell, result = trained
    record(uri, cell, result)
    assert main(["replay", cell.key, "--tracking-uri", uri]) == 0
    said = capsys.readouterr().out
    assert "numbers are the same" in said and "epoch 2 loss/val" in said and "probe/auprc" in said
    assert "time/train_s" not in said
    assert find_cell(Store(uri), cell.title).tags["raymm.cell_key"] == cell.key
    assert not (tmp_path / "storage").exists()


def test_what_was_trained_in_parts_for_want_of_memory_is_so_again(
    uri: str, digits: Dataset, tmp_path: Path
) -> None:
    cell = Cell(cell_key(CONFIG, digits.fingerprint), CONFIG)
    curve: list[dict[str, float]] = []

    def heard(report: EpochReport) -> bool:
        curve.append({"epoch": float(report.epoch), **report.metrics})
        return True

    torch.set_num_threads(1)
    cpu, folder = torch.device("cpu"), str(tmp_path / "cell")
    metrics = train_cell(
        CONFIG, digits, storage=folder, device=cpu, on_epoch=heard, micro_batches=8
    )
    result = CellResult(CONFIG, "digits", cell.key, "finished", metrics=metrics, curve=tuple(curve))
    with opened(uri) as ledger:
        ledger.start(cell)
        ledger.log_epochs(cell.key, result.curve)
        ledger.say(cell.key, {MICRO_BATCHES: "8"})
        ledger.end(result)
        assert ledger.flush(20)
        run = find_cell(Store(uri), cell.key)
        again = {each.name: each for each in replay(ledger, run, CONFIG, digits)}
    # Whole steps give other sums of the same terms.
    assert again["epoch 2 loss/val"].difference == 0.0


def test_a_number_that_differs_is_told_and_so_is_one_that_is_missing(
    uri: str, trained: tuple[Cell, CellResult], capsys: pytest.CaptureFixture[str]
) -> None:
    cell, result = trained
    metrics = dict(result.metrics)
    metrics["probe/auprc"] += 2e-6
    del metrics["rank/median_kar"]
    record(uri, cell, dataclasses.replace(result, metrics=metrics))
    assert main(["replay", cell.key, "--tracking-uri", uri]) == 1
    said = capsys.readouterr().out
    differing = [line.split()[0] for line in said.splitlines() if line.rstrip().endswith("NO")]
    assert differing == ["probe/auprc", "rank/median_kar"]
    assert "2 of" in said


def test_what_cannot_be_replayed_is_refused(uri: str, trained: tuple[Cell, CellResult]) -> None:
    cell, result = trained
    with pytest.raises(SweepError, match=r"no cell 'abc'"):
        find_cell(Store(uri), "abc")
    with opened(uri) as ledger:
        ledger.start(cell)
    with pytest.raises(SweepError, match=r"is not finished \(killed\)"):
        find_cell(Store(uri), cell.key)
    record(uri, cell, result)
    other = Cell("othercell", CONFIG)
    record(uri, other, dataclasses.replace(result, key="othercell"))
    with pytest.raises(SweepError, match=r"2 cells are called 'mca S=0.4 seed=0'.*othercell"):
        find_cell(Store(uri), cell.title)
    with pytest.raises(SweepError, match=r"not those that cell othercell was trained on"):
        load_for(find_cell(Store(uri), "othercell"))


@pytest.mark.parametrize(
    ("recorded", "again", "difference"),
    [
        (1.0, 1.0, 0.0), (math.nan, math.nan, 0.0), (math.inf, math.inf, 0.0), (0.5, 0.25, 0.25),
        (100.0, 99.0, 0.01), (1.0, math.nan, math.inf), (math.nan, 1.0, math.inf),
        (math.inf, 1.0, math.inf),
    ],
)  # fmt: skip
def test_differences(recorded: float, again: float, difference: float) -> None:
    assert Compared("x", recorded, again).difference == pytest.approx(difference)
