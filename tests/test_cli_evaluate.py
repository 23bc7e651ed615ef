"""`raymm evaluate`: from a run to tables and a run below it, with encoders that install from PyPI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from raymm.cli import main
from raymm.cli_evaluate import find_model, parse_encoders
from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.table import parse_columns
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.errors import ConfigError, DataError
from raymm.sweep.task_runs import TaskRuns
from raymm.tasks.run import open_model
from raymm.training.loop import train_cell
from tests.sweep.ledgers import cell, opened, runs, train

COLUMNS = ("text=one,two", "label=score")
WORDS = [
    "a",
    "the",
    "red",
    "old",
    "big",
    "cat",
    "dog",
    "house",
    "man",
    "tree",
    "runs",
    "sees",
    "likes",
    "near",
    "under",
]


def sentence_table(folder: Path) -> str:
    rng = np.random.default_rng(0)
    one = [" ".join(rng.choice(WORDS, 5)) for _ in range(60)]
    same = rng.integers(0, 2, 60).astype(bool)
    two = [
        text if kept else " ".join(rng.choice(WORDS, 5))
        for text, kept in zip(one, same, strict=True)
    ]
    frame = pd.DataFrame({"one": one, "two": two, "score": np.where(same, 4.5, 0.5)})
    folder.mkdir()
    frame.to_parquet(folder / "pairs.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of sentences and a model of MiniLM's vectors, trained for an epoch."""
    folder = tmp_path_factory.mktemp("evaluate")
    pairs = load_pairs(sentence_table(folder / "sentences"), columns=parse_columns(COLUMNS))
    minilm = load_encoder("minilm")
    names = [items.name for items in pairs.items]
    dataset = embed_pairs(pairs, dict.fromkeys(names, minilm), folder / "vectors", label="score")
    config = CellConfig(
        data=DataConfig(dataset=str(folder / "vectors")),
        model=ModelConfig(name="cbmf", width=16),
        train=TrainConfig(epochs=1, warmup_steps=1),
    )
    train_cell(
        config, dataset, storage=str(folder / "storage" / "key1"), device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )  # fmt: skip
    return folder


def test_a_recorded_cell_is_evaluated_and_the_task_recorded_below_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    with opened(None) as ledger:
        train(ledger, cell())
    arguments = ["--task", "similarity", "--dataset", "sentences", "--columns", *COLUMNS]
    assert main(["evaluate", "key1", *arguments, "--out", "tables"]) == 0
    said = capsys.readouterr().out
    assert "CBMF-add" in said and "minilm" in said and "spearman" in said
    assert "figure 3 is a drawing" in " ".join(said.split())
    table = pd.read_csv(place / "tables" / "similarity.csv", index_col=0)
    assert float(table["minilm"]["pearson"]) > 50
    (run,) = runs("sqlite:///mlruns/mlflow.db", "task")
    assert run.data.tags["raymm.of_cell"] == "key1"
    assert run.data.metrics["similarity/spearman"] == pytest.approx(
        table["CBMF-add"]["spearman"] / 100
    )


def test_a_model_that_no_run_knows_is_evaluated_and_not_recorded(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(place / "storage" / "key1")
    arguments = ["--dataset", str(place / "sentences"), "--columns", *COLUMNS]
    assert main(["evaluate", folder, "--task", "similarity", *arguments]) == 0
    assert "Not recorded" in capsys.readouterr().out
    assert not (tmp_path / "mlruns").exists()


def test_a_users_mistake_is_told_without_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "nothing", "--task", "linear", "--dataset", "emoji"]) == 1
    assert "is no folder with a saved model" in " ".join(capsys.readouterr().err.split())


def test_a_run_is_a_folder_a_key_or_an_error(place: Path, tmp_path: Path) -> None:
    tracker = TaskRuns(f"sqlite:///{tmp_path}/none.db", "x")
    storage = str(place / "storage")
    assert find_model(f"{storage}/key1", "elsewhere", tracker) == (None, f"{storage}/key1")
    assert find_model("key1", storage, tracker) == (None, f"{storage}/key1")
    with pytest.raises(DataError, match="no cell"):
        find_model("key2", storage, tracker)


def test_an_encoder_with_other_weights_is_refused(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    shutil.copytree(place / "storage" / "key1", folder)
    card = json.loads((folder / "model.json").read_text())
    for source in card["sources"].values():
        source["weights"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=f"the weights {'0' * 64} made"):
        open_model(str(folder))


def test_a_model_of_ones_own_vectors_has_to_be_told_its_encoders(
    place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cell"
    shutil.copytree(place / "storage" / "key1", folder)
    card = json.loads((folder / "model.json").read_text())
    names = [each["name"] for each in card["modalities"]]
    card["sources"] = {}
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=f"--encoders {names[0]}="):
        open_model(str(folder))
    told = open_model(str(folder), encoders=dict.fromkeys(names, "minilm"))
    assert told.name == "CBMF-add" and told.modalities("text") == tuple(names)
    with pytest.raises(ConfigError, match="no modality 'picture'"):
        open_model(str(folder), encoders={"picture": "minilm"})


def test_encoders_are_given_by_modality() -> None:
    assert parse_encoders(("image=vit", "text=a/b=c")) == {"image": "vit", "text": "a/b=c"}
    for bad in ("minilm", "=minilm", "text="):
        with pytest.raises(ConfigError, match="MODALITY=ENCODER"):
            parse_encoders((bad,))
