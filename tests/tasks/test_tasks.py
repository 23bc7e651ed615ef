"""The paper's tasks in a small world, where it is known what a good model finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.config import CellConfig, ModelConfig, TrainConfig
from raymm.data import splits
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.data.sources.pairs.build import classes
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.base import Encoder
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.errors import ConfigError, DataError
from raymm.metrics.matching import match_ranks
from raymm.metrics.retrieval import recall_at
from raymm.metrics.similarity import SIMILARITY_CLASSES
from raymm.tasks.classifier import ClassifierSettings
from raymm.tasks.model import TaskModel
from raymm.tasks.paper import provenance
from raymm.tasks.result import TaskTable
from raymm.tasks.rows import pooled, rows_of
from raymm.tasks.run import TaskOptions, run_task, training_data
from raymm.training.loop import train_cell
from raymm.training.saved import load_model
from tests.data.sources.pairs import layouts
from tests.encoders.models import bert
from tests.tasks.tiny import TinyEncoder, sentences, squares, trained_model


def shown(table: TaskTable, row: str, column: str) -> float:
    """A figure of a table."""
    return float(table.frame[column].to_dict()[row])


QUICK = TaskOptions(
    classifier=ClassifierSettings(epochs=20, every=10, learning_rate=0.02, batch_size=32)
)


@pytest.fixture(scope="module", params=["add", "dot_attention"])
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TaskModel:
    """A model of squares and their names."""
    encoders: dict[str, Encoder] = {"image": TinyEncoder("image"), "text": TinyEncoder("text")}
    folder = tmp_path_factory.mktemp(request.param)
    return trained_model(folder, squares(400), encoders, request.param)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> TaskModel:
    """A model of two texts."""
    encoders: dict[str, Encoder] = {
        "text_a": TinyEncoder("text"),
        "text_b": TinyEncoder("text", "2"),
    }
    folder = tmp_path_factory.mktemp("texts")
    return trained_model(folder, sentences(300, graded=False), encoders, "add")


def test_zero_shot_names_the_colours_of_squares_never_seen(images: TaskModel) -> None:
    result = run_task("zero-shot", images, squares(120, seed=5), QUICK)
    assert result.metrics["zero_shot/top_1_name"] > 0.9
    assert result.metrics["zero_shot/top_5"] >= result.metrics["zero_shot/top_1"]
    assert result.metrics["zero_shot/images"] == 120
    (table,) = result.tables
    assert shown(table, "top_1", "CBMF, name") == pytest.approx(
        100 * result.metrics["zero_shot/top_1_name"]
    )
    assert shown(table, "top_1", "ridge, name") > 90
    assert shown(table, "top_1", "paper: CBMF-add") == 78.26


def test_zero_shot_takes_the_official_test_split_alone(images: TaskModel) -> None:
    official = ["test" if number % 4 == 0 else "train" for number in range(80)]
    result = run_task("zero-shot", images, squares(80, seed=6, splits=official), QUICK)
    assert result.metrics["zero_shot/images"] == 20


def test_a_template_without_a_place_for_the_name_is_refused(images: TaskModel) -> None:
    with pytest.raises(ConfigError, match="a photo"):
        run_task("zero-shot", images, squares(10), TaskOptions(templates=["a photo"]))


def test_linear_classification_reads_the_colours_and_leaves_the_model_alone(
    images: TaskModel,
) -> None:
    before = {name: t.clone() for name, t in images.saved.model.state_dict().items()}
    result = run_task("linear", images, squares(300, seed=7), QUICK)
    assert result.metrics["linear/test_accuracy"] > 0.9
    assert list(result.curves["linear/val_accuracy"]) == [10, 20]
    (table,) = result.tables
    assert list(table.frame.columns[:2]) == ["CBMF", "tiny-image alone"]
    assert shown(table, "test, last epoch", "tiny-image alone") > 90
    after = images.saved.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fine_tuning_starts_from_the_model_and_leaves_the_saved_one_alone(
    images: TaskModel,
) -> None:
    before = {name: t.clone() for name, t in images.saved.model.state_dict().items()}
    result = run_task("fine-tune", images, squares(300, seed=8), QUICK)
    assert result.metrics["fine_tune/test_accuracy"] > 0.9
    assert list(result.curves["fine_tune/val_accuracy"]) == [10, 20]
    (table,) = result.tables
    assert shown(table, "test, last epoch", "tiny-image alone, linear") > 90
    assert all(torch.equal(t, before[n]) for n, t in images.saved.model.state_dict().items())
    assert not images.saved.model.training


def test_retrieval_of_held_out_pairs_is_that_of_the_test_split(images: TaskModel) -> None:
    """Against ranks by hand, of embeddings computed from the items themselves."""
    result = run_task("retrieval", images, None)
    dataset = training_data(images.saved)
    drawn = splits.assign(dataset.ids, seed=0, validation_fraction=0.1, test_fraction=0.2)
    place = np.flatnonzero(drawn == splits.TEST)
    sides = []
    for modality in dataset.modalities:
        part = rows_of(modality, place)
        alone = Dataset("part", dataset.ids[place], (part,), None, "")
        sides.append(torch.from_numpy(images.saved.embed_dataset(alone).fusion))
    numbers = np.arange(len(place))
    positions = match_ranks(sides[0], sides[1], numbers, numbers)
    assert result.metrics["retrieval/image_to_text_recall_at_5"] == recall_at(positions, 5)
    assert result.metrics["retrieval/image_to_text_gallery"] == len(place)
    (table,) = result.tables
    assert set(table.frame.columns) == {"CBMF", "ridge regression"}
    assert "No hit rate" in result.notes[-1]


def test_retrieval_among_pairs_counts_every_caption_of_an_image(images: TaskModel) -> None:
    base = squares(60, seed=9)
    ids = np.array([f"{number // 2:04}#{number % 2}" for number in range(60)])
    pictures = [base.of("image").values[number - number % 2] for number in range(60)]
    names = [base.of("text").values[number - number % 2] for number in range(60)]
    items = (
        replace(base.of("image"), values=pictures),
        replace(base.of("text"), values=names),
    )
    pairs = replace(base, ids=ids, items=items, labels=())
    result = run_task("retrieval", images, pairs)
    assert result.metrics["retrieval/image_to_text_gallery"] == 60  # captions
    assert result.metrics["retrieval/text_to_image_gallery"] == 30  # each image once
    assert result.metrics["retrieval/image_to_text_recall_at_10"] > 0.5


def test_paraphrases_are_told_by_a_threshold_chosen_on_validation(texts: TaskModel) -> None:
    result = run_task("paraphrase", texts, sentences(150, graded=False))
    assert result.metrics["paraphrase/accuracy"] > 0.95
    assert result.metrics["paraphrase/pairs"] == 50
    (table,) = result.tables
    assert list(table.frame.columns) == ["tiny-text", "tiny-text2", "encoders together", "CBMF"]
    assert "threshold" in result.notes[0] and "50 others" in result.notes[0]


def test_the_paper_stands_beside_its_own_sets(texts: TaskModel) -> None:
    mrpc = replace(sentences(90, graded=False), name="mrpc")
    (table,) = run_task("paraphrase", texts, mrpc).tables
    assert shown(table, "recall_similar", "paper: CBMF") == 81.00
    assert "table III" in table.title


def test_graded_similarity_follows_the_words_in_common(texts: TaskModel) -> None:
    result = run_task("similarity", texts, sentences(300, graded=True))
    assert result.metrics["similarity/spearman"] > 0.8
    summary, *curves = result.tables
    assert [table.name for table in curves] == [f"curve-{c}" for c in SIMILARITY_CLASSES]
    for curve in curves:
        assert curve.frame.shape == (100, 4)
        assert 0 <= float(curve.frame["CBMF"].iloc[0]) <= float(curve.frame["CBMF"].iloc[-1]) <= 100
    assert shown(summary, "spearman", "CBMF") == pytest.approx(
        100 * result.metrics["similarity/spearman"]
    )


def test_what_was_encoded_once_is_not_encoded_again(images: TaskModel) -> None:
    encoder = images.encoders["image"]
    assert isinstance(encoder, TinyEncoder)
    pairs = squares(50, seed=11)
    one = images.embedded(pairs, "image", "image")
    count = encoder.encoded
    two = images.embedded(pairs, "image", "image")
    assert encoder.encoded == count
    np.testing.assert_array_equal(one.model, two.model)
    assert one.alone["image"].shape == (50, 3)


def test_pooled_is_the_mean_of_each_samples_tokens(images: TaskModel) -> None:
    dataset = training_data(images.saved)
    for modality in dataset.modalities:
        found = pooled(modality)
        if modality.offsets is None:
            np.testing.assert_array_equal(found, modality.values)
            continue
        spans = zip(modality.offsets[:-1], modality.offsets[1:], strict=True)
        wanted = [modality.values[a:b].mean(axis=0) for a, b in spans]
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("task", ["zero-shot", "linear", "fine-tune", "paraphrase", "similarity"])
def test_a_task_without_data_asks_for_them(images: TaskModel, task: str) -> None:
    with pytest.raises(ConfigError, match="--dataset"):
        run_task(task, images, None)  # type: ignore[arg-type]


def test_what_does_not_fit_is_said(images: TaskModel, texts: TaskModel) -> None:
    with pytest.raises(ConfigError, match="did you mean 'zero-shot'"):
        run_task("zeroshot", images, squares(4))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no image encoder"):
        run_task("zero-shot", texts, squares(10))
    with pytest.raises(DataError, match=r"has the classes 'red'.*told by 1"):
        run_task("paraphrase", texts, squares(30))
    two = classes("same", [str(number % 2) for number in range(60)], ("0", "1"))
    with pytest.raises(ConfigError, match="two texts a sample"):
        run_task("paraphrase", images, replace(squares(60), labels=(two,)))
    with pytest.raises(DataError, match="a label for regression"):
        run_task("similarity", texts, squares(30))


def test_data_that_changed_since_are_not_taken_for_those_of_training(
    images: TaskModel, tmp_path: Path
) -> None:
    card = replace(images.saved.card, fingerprint="another")
    changed = replace(images, saved=replace(images.saved, card=card))
    with pytest.raises(DataError, match="was trained on squares-0 with fingerprint another"):
        run_task("retrieval", changed, None)
    result = run_task("zero-shot", changed, squares(20, seed=3))
    assert "ridge, name" not in result.tables[0].frame
    assert "Without the baseline" in result.notes[-1]


def test_a_model_knows_its_encoders_also_where_their_vectors_lie_at_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    encoders: dict[str, Encoder] = {"image": TinyEncoder("image"), "text": TinyEncoder("text")}
    embed_pairs(squares(60), encoders, tmp_path / "vectors")
    dataset = load_dataset(f"file://{tmp_path}/vectors")
    config = CellConfig(
        model=ModelConfig(name="cbmf", width=8), train=TrainConfig(epochs=1, warmup_steps=1)
    )
    train_cell(
        config, dataset, storage=str(tmp_path / "cell"), device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )  # fmt: skip
    sources = load_model(str(tmp_path / "cell")).card.sources
    assert {name: source.encoder for name, source in sources.items()} == {
        "image": "tiny-image", "text": "tiny-text"
    }  # fmt: skip


def test_files_of_a_result_hold_its_tables(images: TaskModel) -> None:
    files = run_task("zero-shot", images, squares(20, seed=3)).files()
    assert set(files) == {"zero_shot.csv", "notes.txt"}
    assert files["zero_shot.csv"].startswith(",") and "top_1" in files["zero_shot.csv"]


def test_cifar_100_s_own_files_with_two_labels(images: TaskModel, tmp_path: Path) -> None:
    """It has two labels, of classes and of their groups."""
    pairs = load_pairs(str(layouts.cifar100(tmp_path / "cifar-100-python")))
    result = run_task("zero-shot", images, pairs, TaskOptions(templates=["{}"]))
    assert "2 images (the official test split) of 2 classes" in result.notes[0]
    assert "not comparable" in result.notes[1]


@pytest.mark.parametrize(
    ("task", "name", "same"),
    [
        ("zero-shot", "cifar-10-batches-py", True),
        ("zero-shot", "cifar-100-python", False),
        ("linear", "cifar-100-python", True),
        ("linear", "cifar10", False),
        ("fine-tune", "tiny-imagenet-200", True),
    ],
)
def test_the_paper_s_figures_are_comparable_on_its_own_set_alone(
    task: str, name: str, same: bool
) -> None:
    assert ("not comparable" not in provenance(task, name)) == same


def test_official_files_are_told_by_their_label(texts: TaskModel) -> None:
    pairs = sentences(90, graded=False)
    own = replace(pairs, name="glue", labels=(replace(pairs.labels[0], name="duplicate"),))
    (table,) = run_task("paraphrase", texts, own).tables
    assert "table II)" in table.title


def test_what_was_odd_of_a_set_is_noted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also where it was encoded before."""
    encoder = load_encoder(bert(tmp_path / "bert"), device="cpu")  # 16 tokens at most
    pairs = sentences(120, graded=True)
    long = replace(pairs.items[0], values=["a cat " * 20, *pairs.items[0].values[1:]])
    pairs = replace(pairs, items=(long, pairs.items[1]))
    encoders: dict[str, Encoder] = {"text_a": encoder, "text_b": encoder}
    model = trained_model(tmp_path_factory.mktemp("long"), pairs, encoders, "add")
    every = replace(pairs, splits=np.array(["test"] * 60 + ["validation"] * 60))
    for _ in range(2):
        notes = run_task("similarity", model, every).notes
        assert [note for note in notes if "1 texts were longer than it takes" in note]
