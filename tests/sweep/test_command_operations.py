"""The end of the sweep over fusion operations: retrieval scored, reported and recorded."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from raymm.command import DONE, SOME_FAILED
from raymm.command_operations import conclude, embedded_at, prepared, run_operations
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.embed import embed_pairs
from raymm.errors import ConfigError, DataError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.operations import OperationSettings
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from raymm.training.loop import train_cell
from tests.sweep.ledgers import runs
from tests.tasks.tiny import TinyEncoder, squares

STORE = "sqlite:///mlruns/mlflow.db"
SETTINGS = OperationSettings(
    dataset="vectors",
    operations=("add", "dot_attention"),
    epochs=3,
    width=16,
    projection_width=16,
    batch_size=32,
    held_out=30,
)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with embedded squares, where all of these tests run."""
    folder = tmp_path_factory.mktemp("operations")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        encoders = {"image": TinyEncoder("image"), "text": TinyEncoder("text")}
        embed_pairs(squares(200), encoders, "vectors", tokens=True)
        yield folder


def opened_sweep() -> Sweep:
    """A sweep of two operations over them, its record open."""
    made = prepare_sweep(SETTINGS)
    claim_places(made)
    made.ledger.open_sweep(
        made.name, {}, folder=made.folder, storage=made.storage, cells=made.cells
    )
    return made


def trained(sweep: Sweep, cell: Cell) -> CellResult:
    metrics = train_cell(
        cell.config,
        sweep.dataset,
        storage=f"{sweep.storage}/{cell.key}",
        device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )
    result = CellResult(
        cell.config, "squares-0", cell.key, "finished", "", metrics, ({"epoch": 1.0},)
    )
    sweep.ledger.start(cell)
    sweep.ledger.end(result)
    return result


def console() -> Console:
    return Console(width=200, record=True, file=io.StringIO())


def test_the_table_holds_every_operation_and_ridge_regression() -> None:
    sweep, out = opened_sweep(), console()
    with sweep.ledger:
        results = [trained(sweep, cell) for cell in sweep.cells]
        done = [(sweep, results)]
        assert conclude(done, "vectors", "python sweeps/fusion_operations.py", out) == DONE
    said = out.export_text()
    for wanted in (
        "add",
        "dot attention",
        "ridge regression",
        "Retrieval of 30 held-out",
    ):
        assert wanted in said
    frame = pd.read_csv(sweep.folder / "operations.csv", index_col="model")
    assert list(frame.index) == ["add", "dot attention", "ridge regression"]
    report = (sweep.folder / "report.md").read_text()
    assert "than ridge regression" in report or "beats ridge regression" in report
    assert "python sweeps/fusion_operations.py" in report
    page = (sweep.folder / "report.html").read_text()
    assert "Retrieval of 30 held-out pairs" in page and "dot attention" in page
    assert page.count("<b>") >= 6 and "Cells that did not finish" in page
    shown = {run.info.run_name: run for run in runs(STORE, "summary")}
    assert set(shown) == {
        f"{each}: mean over seeds of {sweep.name}" for each in ("cbmf", "cbmf dot_attention")
    }

    tasks = runs(STORE, "task")
    assert {run.data.tags["raymm.of_cell"] for run in tasks} == {cell.key for cell in sweep.cells}
    by_key = {run.data.tags["raymm.of_cell"]: run.data.metrics for run in tasks}
    add = next(c.key for c in sweep.cells if c.config.model.fusion_operation == "add")
    recall = by_key[add]["retrieval/image_to_text_recall_at_5"]
    assert frame["image to text R@5"].to_dict()["add"] == pytest.approx(recall)


def test_a_second_time_the_same_is_reported_and_nothing_recorded_twice() -> None:
    again = opened_sweep()
    assert set(again.finished) == {cell.key for cell in again.cells}
    with again.ledger:
        results = [again.finished[cell.key] for cell in again.cells]
        assert conclude([(again, results)], "vectors", "x", console()) == DONE
    assert len(runs(STORE, "task")) == 2


def test_a_failed_cell_is_left_out_of_the_table() -> None:
    sweep = opened_sweep()
    first, second = sweep.cells
    failed = CellResult(second.config, "squares-0", second.key, "failed", "ConfigError: no")
    with sweep.ledger:
        results = [sweep.finished[first.key], failed]
        assert conclude([(sweep, results)], "vectors", "x", console()) == SOME_FAILED
    frame = pd.read_csv(sweep.folder / "operations.csv", index_col="model")
    assert len(frame) == 2


def test_a_plan_of_pairs_that_are_not_embedded_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = console()
    settings = OperationSettings(plan=True)
    assert run_operations(settings, "x", out) == DONE
    assert "not embedded yet" in out.export_text()
    assert list(tmp_path.iterdir()) == []


def test_other_encoders_have_a_cache_of_their_own() -> None:
    assert embedded_at(OperationSettings()) == "embeddings/emoji-efficientnet-lite0-minilm-tokens"
    other = OperationSettings(dataset="here/photos/", encoder=("google/vit", "text=/models/bert"))
    assert embedded_at(other) == "embeddings/photos-google-vit-text-models-bert-tokens"
    assert embedded_at(replace(other, dataset="vectors")) == "vectors"


def test_a_cache_that_other_encoders_made_is_refused(place: Path) -> None:
    """What lies where the vectors belong is held against the encoders that are asked for."""
    settings = OperationSettings(cache="caches")
    shutil.copytree("vectors", embedded_at(settings))
    with pytest.raises(DataError, match="cannot be used for 'efficientnet-lite0'"):
        run_operations(settings, "x", console())


def test_convirt_is_a_sweep_of_its_own_over_the_raw_pairs(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = load_pairs("emoji")
    few = pairs.chosen(np.arange(len(pairs.ids)) % 30 == 0)
    monkeypatch.setattr("raymm.data.sources.pairs.load.load_pairs", lambda dataset: few)
    settings = OperationSettings(
        models=("convirt",), encoder=("minilm", "efficientnet-lite0"), held_out=10, seeds=(0, 1)
    )
    (sweep,) = prepared(settings, "nowhere", console())
    assert sweep.name.startswith("emoji-convirt") and len(sweep.cells) == 2
    model = sweep.cells[0].config.model
    assert (model.name, model.encoders) == ("convirt", ("minilm", "efficientnet-lite0"))
    assert [modality.name for modality in sweep.dataset.modalities] == ["text", "image"]
    with pytest.raises(ConfigError, match="vectors holds what they made"):
        prepared(replace(settings, dataset="vectors"), "vectors", console())
