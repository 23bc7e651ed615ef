"""Zero-shot classification of images by the names of their classes (CBMF, table IV)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import ConfigError
from raymm.metrics.arrays import as_tensor
from raymm.metrics.zero_shot import TOP, class_vectors, top_accuracies
from raymm.tasks.baseline import RidgeBaseline
from raymm.tasks.model import TaskModel, only
from raymm.tasks.paper import TABLE_IV, provenance
from raymm.tasks.parts import label_of, scored_part
from raymm.tasks.result import TaskResult, TaskTable, compared

PLAIN: Final = "{}"
TEMPLATES: Final = (
    PLAIN,
    "a photo of a {}.",
    "a picture of a {}.",
    "a blurry photo of a {}.",
    "a close-up photo of a {}.",
    "a small {}.",
)
"""Prompts; a class is the mean of its prompts' directions (Radford et al., 2021, 3.1.4)."""


def zero_shot(
    model: TaskModel,
    pairs: Pairs,
    templates: Sequence[str] = TEMPLATES,
    ridge: RidgeBaseline | None = None,
) -> TaskResult:
    """Top-1 to top-5 accuracy, with the bare name as the only prompt and with all templates.

    Args:
        model: of images and texts.
        pairs: images with a label of classes, whose names are put into the prompts; of its official
            test split, if it has none of its validation split, else all.
        templates: with {} where the name goes.
        ridge: baseline between the encoders alone.

    Raises:
        ConfigError: a template lacks its {}, or the model has no image or no text encoder.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(f"The template {template!r} should have one {{}} for the class name.")
    label = label_of(pairs, "classification")
    scored, part = scored_part(pairs.chosen(label.values >= 0))
    images = model.embedded(scored, only(pairs, "image").name, "image")
    kept = np.searchsorted(scored.ids, images.ids)
    codes = torch.from_numpy(np.asarray(scored.label(label.name).values, dtype=np.int64)[kept])
    names = label.classes
    found = {}
    for title, prompts in ((f"{model.name}, name", (PLAIN,)), (model.name, tuple(templates))):
        texts = [prompt.format(name) for name in names for prompt in prompts]
        vectors = as_tensor(model.embedded_texts(texts))
        classes = class_vectors(vectors.view(len(names), len(prompts), -1))
        found[title] = top_accuracies(as_tensor(images.model), classes, codes)
    if ridge is not None:
        found["ridge, name"] = ridge.classify(model, images, list(names), codes)
    rows = {
        title: {key.removeprefix("zero_shot/"): value for key, value in metrics.items()}
        for title, metrics in found.items()
    }
    table = compared([f"top_{k}" for k in TOP], rows, TABLE_IV)
    plain = found[f"{model.name}, name"]
    return TaskResult(
        "zero-shot",
        pairs.name,
        {**found[model.name], "zero_shot/top_1_name": plain["zero_shot/top_1"]},
        (
            TaskTable(
                "zero_shot", f"Zero-shot accuracy on {pairs.name}, per cent (table IV)", table
            ),
        ),
        (
            f"{len(codes):,} images ({part}) of {len(names)} classes (chance "
            f"{100 / len(names):.1f} at top-1). Prompts: {'; '.join(templates)} "
            "('name': the bare name alone).",
            provenance("zero-shot", pairs.name),
        ),
    )
