"""Retrieval between two modalities: hit rate at k (CBMF, figure 4), and recall at 1, 5 and 10.

What belongs together: samples whose ids begin with the same group ("photo#3" and "photo#0" are captions
of one photo).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from raymm.data.dataset import Dataset
from raymm.data.prepare import prepare
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError
from raymm.metrics.arrays import as_tensor
from raymm.metrics.matching import RECALLS, hit_rates, match_ranks, matching_metrics
from raymm.tasks.baseline import RidgeBaseline
from raymm.tasks.model import TaskModel, Vectors, check_trained_on, only
from raymm.tasks.paper import FIGURE_4
from raymm.tasks.result import PER_CENT, TaskResult, TaskTable, compared
from raymm.tasks.rows import pooled, rows_of
from raymm.training.saved import SavedModel

GROUP_MARK, RIDGE = "#", "ridge regression"


@dataclass(frozen=True)
class Side:
    """One modality of the retrieval.

    Attributes:
        name: of the modality.
        groups: (n,) group of each of its items; items of both sides with one group belong together.
        model: (n, d) embeddings by the model.
        alone: (n, w) pooled vectors of its encoder.
    """

    name: str
    groups: NDArray[np.int64]
    model: Vectors
    alone: Vectors


@dataclass(frozen=True)
class Retrieved:
    """Ranks (n,) of each query's best match, by direction ("image_to_text")."""

    model: Mapping[str, Tensor]
    ridge: Mapping[str, Tensor]
    gallery: Mapping[str, int]


def retrieve(one: Side, two: Side, ridge: RidgeBaseline | None) -> Retrieved:
    """Rank the matches in both directions, by the model and by ridge regression."""
    model, linear, gallery = {}, {}, {}
    for queries, targets in ((one, two), (two, one)):
        direction = f"{queries.name}_to_{targets.name}"
        groups = (queries.groups, targets.groups)
        gallery[direction] = len(targets.groups)
        sides = as_tensor(queries.model), as_tensor(targets.model)
        model[direction] = match_ranks(*sides, *groups)
        if ridge is not None:
            both = ridge.comparable((queries.name, queries.alone), (targets.name, targets.alone))
            linear[direction] = match_ranks(*both, *groups)
    return Retrieved(model, linear, gallery)


def held_out_retrieval(
    saved: SavedModel, dataset: Dataset, ridge: RidgeBaseline | None, name: str
) -> TaskResult:
    """Retrieval among the test split that a model was trained beside: pairs it has never seen.

    Args:
        saved: model of two modalities.
        dataset: that it was trained on.
        ridge: baseline, fitted to the same train split.
        name: of the model, for tables.

    Raises:
        DataError: the data set has not two modalities, or is another one than the model's.
    """
    one, two = _held_out(saved, dataset)
    return _result(retrieve(one, two, ridge), dataset.name, name, "the test split of its own data")


def ridge_metrics(saved: SavedModel, dataset: Dataset, ridge: RidgeBaseline) -> dict[str, float]:
    """The recalls of ridge regression where `held_out_retrieval` has those of the model."""
    found = retrieve(*_held_out(saved, dataset), ridge)
    metrics: dict[str, float] = {}
    for direction, positions in found.ridge.items():
        metrics |= matching_metrics(positions, found.gallery[direction], direction)
    return metrics


def _held_out(saved: SavedModel, dataset: Dataset) -> tuple[Side, Side]:
    """The pairs of the test split, seen through a model and through its encoders alone."""
    check_trained_on(saved, dataset)
    if len(dataset.modalities) != 2:
        names = ", ".join(modality.name for modality in dataset.modalities)
        raise DataError(f"Retrieval is between two modalities; {dataset.name} has {names}.")
    split = prepare(dataset, saved.card.config.data).test
    both = np.flatnonzero(split.presence.all(axis=1))
    ids = split.ids[both]
    groups = _groups(ids)
    sides = []
    for modality, column in zip(dataset.modalities, split.columns, strict=True):
        part = rows_of(modality, column.row_of[both])
        seen = saved.embed_dataset(Dataset(dataset.name, ids, (part,), None, ""))
        sides.append(Side(modality.name, groups, seen.fusion, pooled(part)))
    return sides[0], sides[1]


def pairs_retrieval(model: TaskModel, pairs: Pairs, ridge: RidgeBaseline | None) -> TaskResult:
    """Retrieval between the images of a set and their texts: its official test split, or all.

    An image that several samples share is there once.

    Args:
        model: of images and texts.
        pairs: with one modality of images and one of texts.
        ridge: baseline.
    """
    has_test = pairs.splits is not None and bool((pairs.splits == "test").any())
    scored = pairs.split("test") if has_test else pairs
    groups = dict(zip(scored.ids.tolist(), _groups(scored.ids).tolist(), strict=True))
    sides = []
    for domain in ("image", "text"):
        (name,) = model.modalities(domain)
        seen = model.embedded(scored, only(scored, domain).name, domain)
        codes = np.array([groups[each] for each in seen.ids.tolist()], dtype=np.int64)
        kept = np.arange(len(codes))
        if domain == "image":
            _, kept = np.unique(codes, return_index=True)
        sides.append(Side(name, codes[kept], seen.model[kept], seen.alone[name][kept]))
    shared = np.intersect1d(sides[0].groups, sides[1].groups)
    sides = [_with_match(side, shared) for side in sides]
    part = "the official test split" if has_test else "all pairs"
    return _result(retrieve(sides[0], sides[1], ridge), pairs.name, model.name, part)


def _with_match(side: Side, shared: NDArray[np.int64]) -> Side:
    """Without what lost its counterpart, an image that did not decode perhaps."""
    kept = np.isin(side.groups, shared)
    return Side(side.name, side.groups[kept], side.model[kept], side.alone[kept])


def _groups(ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """A number for each sample, the same for those of one group."""
    heads = np.array([str(each).split(GROUP_MARK)[0] for each in ids])
    codes: NDArray[np.int64] = np.unique(heads, return_inverse=True)[1].astype(np.int64)
    return codes


def _result(found: Retrieved, dataset: str, name: str, part: str) -> TaskResult:
    metrics: dict[str, float] = {}
    recalls: dict[str, dict[str, float]] = {}
    curves: dict[str, dict[int, float]] = {}
    logged: dict[str, dict[int, float]] = {}
    for title, by_direction in ((name, found.model), (RIDGE, found.ridge)):
        recalls[title] = {}
        for direction, positions in by_direction.items():
            size, words = found.gallery[direction], direction.replace("_", " ")
            values = matching_metrics(positions, size, direction)
            for k in RECALLS:
                value = values[f"retrieval/{direction}_recall_at_{k}"]
                recalls[title][f"{words}, R@{k}"] = value
            rates = hit_rates(positions, size)
            curves[f"{title}, {words}"] = rates
            if title == name:
                metrics |= values
                logged[f"retrieval/{direction}_hit_rate"] = rates
    if not found.ridge:
        del recalls[RIDGE]
    rows = list(recalls[name])
    tables = [
        TaskTable(
            "recall", f"Retrieval on {dataset}, recall, per cent", compared(rows, recalls, {})
        )
    ]
    if any(curves.values()):
        frame = PER_CENT * pd.DataFrame(curves)
        frame.index.name = "k"
        tables.append(
            TaskTable("hit_rate", "Hit rate at k (the paper's precision), per cent", frame)
        )
    sizes = ", ".join(f"{d.replace('_', ' ')} {n:,}" for d, n in found.gallery.items())
    notes = [f"Scored on {part}; gallery: {sizes}."]
    if any(curves.values()):
        notes.append(FIGURE_4)
    else:
        notes.append("No hit rate from k = 100 on: the galleries hold no more than that.")
    return TaskResult("retrieval", dataset, metrics, tuple(tables), tuple(notes), logged)
