"""Linear classification and fine-tuning of a model's image encoder (CBMF, tables V and VI).

Validation is looked at every 20 epochs; the test figure is that of the last epoch and never chosen. The
paper's figures are of the split it validates on.

Shapes: n samples, d components, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.data.batch import Batch, Block
from raymm.data.sources.pairs.pairs import Pairs
from raymm.models.base import FusionModel
from raymm.tasks.classifier import Classified, ClassifierSettings, train_classifier
from raymm.tasks.model import TaskModel, only
from raymm.tasks.paper import TABLE_V, TABLE_VI, Columns, provenance
from raymm.tasks.parts import Parts, label_of, parts
from raymm.tasks.result import TaskResult, TaskTable, compared
from raymm.tasks.rows import pooled
from raymm.training.saved import SavedModel

Codes = NDArray[np.int64]
TEST_ROW = "test, last epoch"


@dataclass(frozen=True)
class _Images:
    """Images of a set that could be read, with the codes of their classes by part."""

    parts: Parts
    labels: Mapping[str, Codes]
    classes: tuple[str, ...]


def linear_classification(
    model: TaskModel, pairs: Pairs, settings: ClassifierSettings | None = None
) -> TaskResult:
    """A linear classifier on the frozen embeddings of images, and one on the encoder's vectors.

    Embeddings are standardised with the train part's statistics, which is linear too.

    Args:
        model: with an image encoder.
        pairs: images with a label of classes.
        settings: of the classifier.

    Raises:
        DataError: a part has no labelled image.
        ConfigError: the model or the set has no images.
    """
    chosen = settings or ClassifierSettings()
    item, (modality, *_) = only(pairs, "image").name, model.modalities("image")
    seen = model.embedded(pairs, item, "image")
    images = _images(pairs, seen.ids)
    alone = f"{model.encoders[modality].name} alone"
    found = {
        model.name: _linear(model, model.name, seen.model, images, chosen),
        alone: _linear(model, alone, seen.alone[modality], images, chosen),
    }
    return _result("linear", pairs.name, model.name, found, images, ("V", TABLE_V))


def fine_tuning(
    model: TaskModel, pairs: Pairs, settings: ClassifierSettings | None = None
) -> TaskResult:
    """Projection, Deep Fusion Encoder and classifier trained together; the encoder stays frozen.

    The encoder of a model that has trained it, as ConVIRT does, stays as the model has it.

    Args:
        model: with an image encoder.
        pairs: images with a label of classes.
        settings: of the training.

    Raises:
        DataError: a part has no labelled image.
        ConfigError: the model or the set has no images.
    """
    chosen = settings or ClassifierSettings()
    item, (modality, *_) = only(pairs, "image").name, model.modalities("image")
    vectors = model.vectors(pairs, item, modality)
    images = _images(pairs, vectors.ids)
    torch.manual_seed(chosen.seed)
    module = FineTuned(model.saved, modality, len(images.classes))
    if model.runs_encoders:
        batches = own_batches(model, pairs, item, modality)
    else:
        batches = model.saved.split_of(vectors).batch
    positions = {name: getattr(images.parts, name) for name in images.labels}
    with model.track(f"fine-tuning {model.name}", chosen.epochs) as advance:
        found = train_classifier(
            module,
            lambda part, rows: batches(positions[part][rows]),
            images.labels,
            chosen,
            advance,
        )
    alone = f"{model.encoders[modality].name} alone, linear"
    linear = _linear(model, alone, pooled(vectors.modalities[0]), images, chosen)
    both = {model.name: found, alone: linear}
    return _result("fine-tune", pairs.name, model.name, both, images, ("VI", TABLE_VI))


def own_batches(
    model: TaskModel, pairs: Pairs, item: str, modality: str
) -> Callable[[Codes], Batch]:
    """Batches of what a model's own encoder makes of images, which is computed once."""
    _, features = model.own_features(pairs, item, modality)
    names = model.saved.card.names
    index = names.index(modality)

    def batch(rows: Codes) -> Batch:
        presence = np.zeros((len(rows), len(names)), dtype=np.bool_)
        presence[:, index] = True
        samples = torch.arange(len(rows))
        return Batch(presence, (Block(index, samples, torch.from_numpy(features[rows])),))

    return batch


def _linear(
    model: TaskModel,
    title: str,
    vectors: NDArray[np.float32],
    images: _Images,
    settings: ClassifierSettings,
) -> Classified:
    """A linear classifier on (n, d) vectors of all images of a set."""
    features = _standardised(vectors, images.parts.train)
    by_part = {name: features[getattr(images.parts, name)] for name in images.labels}
    torch.manual_seed(settings.seed)
    module = nn.Linear(features.shape[1], len(images.classes))
    with model.track(f"linear classifier on {title}", settings.epochs) as advance:
        return train_classifier(module, _rows(by_part), images.labels, settings, advance)


class _Given(nn.Module):
    """In place of encoders that have run: a block holds what they made."""

    def forward(self, block: Block) -> Tensor:
        """(n, w) vectors of a block."""
        return block.values


class FineTuned(nn.Module):
    """A model's embedding of one modality with a linear classifier on it."""

    def __init__(self, saved: SavedModel, modality: str, classes: int) -> None:
        """Copy the model; the saved one stays as it is.

        Args:
            saved: the trained model.
            modality: that is classified.
            classes: C.
        """
        super().__init__()
        self.index = saved.card.names.index(modality)
        self.model: FusionModel = copy.deepcopy(saved.model).requires_grad_(True)
        if saved.card.config.model.encoders:
            self.model.encoders = _Given()
        self.classify = nn.Linear(saved.card.config.model.width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (n, C) of samples that have the modality."""
        logits: Tensor = self.classify(self.model(batch).vectors[self.index])
        return logits


def _images(pairs: Pairs, ids: NDArray[np.str_]) -> _Images:
    """Parts and classes of the images that were read."""
    readable = pairs.chosen(np.isin(pairs.ids, ids))
    label = label_of(readable, "classification")
    cut = parts(readable, label)
    codes = np.asarray(label.values, dtype=np.int64)
    labels = {name: codes[getattr(cut, name)] for name in ("train", "validation", "test")}
    return _Images(cut, labels, label.classes)


def _standardised(vectors: NDArray[np.float32], train: Codes) -> Tensor:
    mean, deviation = vectors[train].mean(axis=0), vectors[train].std(axis=0)
    return torch.from_numpy((vectors - mean) / np.where(deviation > 0, deviation, 1))


def _rows(by_part: Mapping[str, Tensor]) -> Callable[[str, Codes], Tensor]:
    return lambda part, rows: by_part[part][torch.from_numpy(rows)]


def _result(
    task: str,
    dataset: str,
    name: str,
    found: Mapping[str, Classified],
    images: _Images,
    paper: tuple[str, Columns],
) -> TaskResult:
    prefix = task.replace("-", "_")
    metrics = {f"{prefix}/test_accuracy": found[name].test}
    curves = {f"{prefix}/val_accuracy": found[name].validation}
    rows = [f"epoch {epoch}" for epoch in found[name].validation] + [TEST_ROW]
    ours = {
        title: {
            **{f"epoch {epoch}": accuracy for epoch, accuracy in each.validation.items()},
            TEST_ROW: each.test,
        }
        for title, each in found.items()
    }
    number, columns = paper
    words = "Linear classification of" if task == "linear" else "Fine-tuning on"
    title = f"{words} {dataset}, accuracy per cent (table {number})"
    sizes = ", ".join(f"{name} {len(codes):,}" for name, codes in images.labels.items())
    notes = [
        f"{len(images.classes)} classes; {sizes} ({images.parts.how}). Epochs: validation part.",
        provenance(task, dataset),
    ]
    table = TaskTable(prefix, title, compared(rows, ours, columns))
    return TaskResult(task, dataset, metrics, (table,), tuple(notes), curves)
