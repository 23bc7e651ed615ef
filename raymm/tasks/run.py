"""A task by its name, on a saved model: what `raymm evaluate` does, callable on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.encoders.base import Encoder
from raymm.encoders.load import load_encoder
from raymm.encoders.pooling import POOLINGS
from raymm.encoders.raw import raw_dataset
from raymm.encoders.record import Source
from raymm.errors import ConfigError, DataError, nearest
from raymm.tasks.baseline import RidgeBaseline, ridge_baseline
from raymm.tasks.classification import fine_tuning, linear_classification
from raymm.tasks.classifier import ClassifierSettings
from raymm.tasks.model import TaskModel, Track, check_trained_on, untracked
from raymm.tasks.names import TASKS, TaskName
from raymm.tasks.result import TaskResult
from raymm.tasks.retrieval import held_out_retrieval, pairs_retrieval
from raymm.tasks.similarity import graded_similarity, paraphrases
from raymm.tasks.zero_shot import TEMPLATES, zero_shot
from raymm.training.saved import SavedModel, load_model

SHORT = {"dot_attention": "dot", "additive_attention": "additive"}


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What a task may be told besides its data.

    Attributes:
        templates: prompts of zero-shot classification.
        classifier: how classifiers are trained.
    """

    templates: Sequence[str] = TEMPLATES
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)


def open_model(
    folder: str,
    *,
    encoders: Mapping[str, str] | None = None,
    cache: str = "embeddings",
    track: Track = untracked,
) -> TaskModel:
    """A saved model with the encoders before it.

    Args:
        folder: of a finished cell; local path or fsspec address.
        encoders: modality -> name of its encoder, where the model does not say it itself: it was
            trained on a table or sequence of your own.
        cache: folder of encoders' vectors.
        track: shows progress.

    Raises:
        DataError: the model cannot be read, or an encoder has other weights than it was trained on.
        ConfigError: it is not known which encoder a modality is of.
    """
    saved = load_model(folder)
    card, given = saved.card, dict(encoders or {})
    for name in given:
        if name not in card.names:
            raise ConfigError(f"The model has no modality '{name}': {nearest(name, card.names)}")
    found = {
        name: _encoder(saved, name, given.get(name), card.sources.get(name)) for name in card.names
    }
    return TaskModel(saved, found, cache, title(saved), track)


def title(saved: SavedModel) -> str:
    """A model's name for tables: "CBMF-add"."""
    config = saved.card.config.model
    if config.name != "cbmf":
        return config.name.upper() if config.name != "convirt" else "ConVIRT"
    return f"CBMF-{SHORT.get(config.fusion_operation, config.fusion_operation)}"


def _encoder(saved: SavedModel, modality: str, given: str | None, source: Source | None) -> Encoder:
    card = saved.card
    if card.config.model.encoders:
        return _begun_with(saved, modality, given)
    name = given or (source.encoder if source else None)
    if name is None:
        raise ConfigError(
            f"The model in {saved.folder} does not say which encoder made its modality "
            f"'{modality}'. Name it: --encoders {modality}=minilm"
        )
    encoder = load_encoder(name) if source is None else _same(name, source)
    (width,) = (spec.width for spec in card.specs if spec.name == modality)
    if encoder.width != width:
        raise ConfigError(
            f"'{name}' makes vectors of width {encoder.width}, and the model's modality "
            f"'{modality}' has width {width}. Name the encoder that made it with --encoders."
        )
    return encoder


def _begun_with(saved: SavedModel, modality: str, given: str | None) -> Encoder:
    """The pretrained encoder of a model that runs its encoders itself; its own weights are the model's.

    Raises:
        ConfigError: another one is asked for.
    """
    own = saved.card.config.model.encoders[saved.card.names.index(modality)]
    if given not in (None, own):
        raise ConfigError(
            f"The model in {saved.folder} holds its own encoder of '{modality}', made from '{own}'. "
            f"Leave --encoders {modality}={given} out."
        )
    return load_encoder(own)


def _same(name: str, source: Source) -> Encoder:
    """The encoder that made what a model was trained on.

    Raises:
        DataError: its weights or what it does before and after have changed.
    """
    encoder = load_encoder(name)
    if encoder.checksum != source.weights:
        raise DataError(
            f"The encoder '{name}' has the weights {encoder.checksum}; the model was trained on what "
            f"the weights {source.weights} made. Install those, or name their folder with "
            f"--encoders {source.modality}=FOLDER."
        )
    for pooling in POOLINGS[1:]:
        if encoder.preprocessing == source.preprocessing:
            return encoder
        try:
            encoder = load_encoder(name, pooling=pooling)
        except ConfigError:
            continue  # it cannot be pooled so
    if encoder.preprocessing == source.preprocessing:
        return encoder
    raise DataError(
        f"The encoder '{name}' works as ({encoder.preprocessing}); the model was trained on what "
        f"({source.preprocessing}) made. Use the version of raymm that trained it."
    )


def training_data(saved: SavedModel) -> Dataset:
    """The data set that a model was trained on, from where it was then.

    Raises:
        DataError: it is there no longer, or has changed.
    """
    card, data = saved.card, saved.card.config.data
    if card.config.model.encoders:
        named = zip(card.names, card.config.model.encoders, strict=True)
        loaded = {name: load_encoder(encoder) for name, encoder in named}
        dataset = raw_dataset(load_pairs(data.dataset), loaded, label=card.label)
    else:
        dataset = load_dataset(data.dataset, card.names, card.label)
    check_trained_on(saved, dataset)
    return dataset


def run_task(
    task: TaskName, model: TaskModel, pairs: Pairs | None, options: TaskOptions | None = None
) -> TaskResult:
    """Evaluate a model on a task.

    Args:
        task: its name.
        model: with its encoders.
        pairs: the set it is evaluated on; for retrieval None is the test split of the data that the
            model was trained on.
        options: of the task.

    Raises:
        ConfigError: the task is unknown, or the model, the set and the task do not fit.
        DataError: the set lacks what the task needs.
    """
    if task not in TASKS:
        raise ConfigError(f"There is no task '{task}': {nearest(task, TASKS)}")
    told: list[str] = []
    result = _run(task, replace(model, tell=told.append), pairs, options or TaskOptions())
    return replace(result, notes=(*result.notes, *dict.fromkeys(told)))


def _run(task: TaskName, model: TaskModel, pairs: Pairs | None, chosen: TaskOptions) -> TaskResult:
    if task == "retrieval" and pairs is None:
        dataset = training_data(model.saved)
        baseline = None if model.runs_encoders else ridge_baseline(model.saved.card, dataset)
        return held_out_retrieval(model.saved, dataset, baseline, model.name)
    if pairs is None:
        raise ConfigError(f"The task '{task}' needs a data set: give --dataset.")
    match task:
        case "paraphrase":
            return paraphrases(model, pairs)
        case "similarity":
            return graded_similarity(model, pairs)
        case "linear":
            return linear_classification(model, pairs, chosen.classifier)
        case "fine-tune":
            return fine_tuning(model, pairs, chosen.classifier)
        case "zero-shot":
            ridge, note = _ridge(model)
            return _noted(zero_shot(model, pairs, chosen.templates, ridge), note)
        case "retrieval":
            ridge, note = _ridge(model)
            return _noted(pairs_retrieval(model, pairs, ridge), note)


def _ridge(model: TaskModel) -> tuple[RidgeBaseline | None, str]:
    """The baseline where the data that the model was trained on are still there, or why not."""
    if model.runs_encoders:
        return None, "Without the baseline of ridge regression: it needs encoders' vectors."
    try:
        return ridge_baseline(model.saved.card, training_data(model.saved)), ""
    except DataError as error:
        return None, f"Without the baseline of ridge regression, which needs its data. {error}"


def _noted(result: TaskResult, note: str) -> TaskResult:
    return replace(result, notes=(*result.notes, note)) if note else result
