"""Paraphrases (QQP, MRPC) and graded similarity (STS-B), told by cosine (CBMF, section IV B).

A pair of texts is as similar as the cosine of their fusion embeddings says. Beside the model stand its
encoders alone, and all of them together: the mean of their cosines, which needs no training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raymm.data.problems import some
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import ConfigError, DataError
from raymm.metrics.similarity import (
    SIMILARITY_CLASSES,
    TOLERANCES,
    choose_threshold,
    cosines,
    paraphrase_metrics,
    similarity_metrics,
    tolerance_curve,
)
from raymm.tasks.model import TaskModel
from raymm.tasks.paper import FIGURE_3, PARAPHRASE_ROWS, TABLE_II, TABLE_III, Columns
from raymm.tasks.parts import label_of, parts
from raymm.tasks.result import PER_CENT, TaskResult, TaskTable, compared

Cosines = NDArray[np.float64]
TOGETHER = "encoders together"
YES_NO = (("0", "1"), ("False", "True"))
"""Classes of a label that tells paraphrases, the second of them."""
PAPERS: Mapping[str, tuple[str, Columns]] = {
    "qqp": ("II", TABLE_II),
    "duplicate": ("II", TABLE_II),
    "mrpc": ("III", TABLE_III),
    "paraphrase": ("III", TABLE_III),
}
"""The paper's tables, by the name of a set or of the label that its official files have."""


def paraphrases(model: TaskModel, pairs: Pairs) -> TaskResult:
    """Accuracy, and precision, recall and F1 per class, of the model and of its encoders alone.

    Each has a threshold of its own, with the best accuracy on the validation part.

    Args:
        model: with one text encoder or more.
        pairs: of two texts, with a label of the classes "0" and "1".

    Raises:
        DataError: a part has no labelled pair.
        ConfigError: the set has not two texts, or the model no text encoder.
    """
    label = label_of(pairs, "classification")
    if label.classes not in YES_NO:
        raise DataError(
            f"The label '{label.name}' of {pairs.name} has the classes {some(label.classes)}. That two "
            "texts say the same is told by 1, that they do not by 0."
        )
    cut = parts(pairs, label)
    codes = np.asarray(label.values, dtype=np.int64)
    found: dict[str, dict[str, float]] = {}
    chosen_on = _similarities(model, pairs, cut.validation)
    for name, cosine in _similarities(model, pairs, cut.test).items():
        threshold = choose_threshold(chosen_on[name], codes[cut.validation])
        found[name] = paraphrase_metrics(cosine, codes[cut.test], threshold)
    rows = {
        name: {key.removeprefix("paraphrase/"): value for key, value in metrics.items()}
        for name, metrics in found.items()
    }
    number, paper = _paper(pairs.name, label.name)
    title = f"Paraphrases of {pairs.name}, per cent" + (f" (table {number})" if number else "")
    thresholds = ", ".join(f"{name} {row['threshold']:.3f}" for name, row in rows.items())
    return TaskResult(
        "paraphrase",
        pairs.name,
        found[model.name],
        (TaskTable("paraphrase", title, compared(PARAPHRASE_ROWS, rows, paper)),),
        (
            f"{len(cut.test):,} pairs scored; thresholds with the best accuracy on "
            f"{len(cut.validation):,} others ({cut.how}): {thresholds}.",
        ),
    )


def graded_similarity(model: TaskModel, pairs: Pairs) -> TaskResult:
    """STS-B: the tolerance curve of each similarity class, and correlations.

    Args:
        model: with one text encoder or more.
        pairs: of two texts, with a score from 0 to 5.

    Raises:
        DataError: a part has no scored pair.
        ConfigError: the set has not two texts, or the model no text encoder.
    """
    label = label_of(pairs, "regression")
    cut = parts(pairs, label)
    scores = np.asarray(label.values, dtype=np.float64)[cut.test]
    similarities = _similarities(model, pairs, cut.test)
    found = {name: similarity_metrics(cosine, scores) for name, cosine in similarities.items()}
    rows = {
        name: {key.removeprefix("similarity/"): value for key, value in metrics.items()}
        for name, metrics in found.items()
    }
    wanted = ["spearman", "pearson"]
    wanted += [f"within_mean_{name}" for name in (*SIMILARITY_CLASSES, "all")]
    table = compared(wanted, rows, {})
    return TaskResult(
        "similarity",
        pairs.name,
        found[model.name],
        (
            TaskTable("similarity", f"Graded similarity of {pairs.name}, x 100 (figure 3)", table),
            *_curves(similarities, scores),
        ),
        (
            f"{len(scores):,} pairs scored ({cut.how}). within_mean: mean accuracy over 100 "
            "tolerances from 0.1 to 1, of the pairs of each class of scores.",
            FIGURE_3,
        ),
    )


def _similarities(model: TaskModel, pairs: Pairs, places: NDArray[np.int64]) -> dict[str, Cosines]:
    """Cosine of some pairs by the model, by each text encoder alone, and by all of these together.

    Args:
        places: (n,) of the pairs, ascending; the others are not encoded.
    """
    texts = [items.name for items in pairs.items if items.domain == "text"]
    if len(texts) != 2:
        names = ", ".join(items.name for items in pairs.items)
        raise ConfigError(f"{pairs.name} should have two texts a sample, and has {names}.")
    used = pairs.chosen(np.isin(np.arange(len(pairs.ids)), places))
    one, two = (model.embedded(used, text, "text") for text in texts)
    alone = {
        model.encoders[name].name: cosines(one.alone[name], two.alone[name]) for name in one.alone
    }
    together = {TOGETHER: np.mean(list(alone.values()), axis=0)} if len(alone) > 1 else {}
    return {**alone, **together, model.name: cosines(one.model, two.model)}


def _curves(
    similarities: Mapping[str, Cosines], scores: NDArray[np.float64]
) -> Iterator[TaskTable]:
    """A table for each class of scores: a row for each tolerance, a column for each model."""
    curves = {name: tolerance_curve(cosine, scores) for name, cosine in similarities.items()}
    for place, code in enumerate(SIMILARITY_CLASSES):
        columns = {name: PER_CENT * curve.accuracy[place] for name, curve in curves.items()}
        frame = pd.DataFrame(columns, index=pd.Index(TOLERANCES, name="tolerance"))
        title = f"Accuracy at each tolerance, scores {code}, per cent (figure 3)"
        yield TaskTable(f"curve-{code}", title, frame)


def _paper(name: str, label: str) -> tuple[str, Columns]:
    """Number and columns of the paper's table of a set; none of an unknown one."""
    return PAPERS.get(name.lower(), PAPERS.get(label, ("", {})))
