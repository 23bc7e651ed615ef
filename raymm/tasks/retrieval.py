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

from raymm.data.dataset import Dataset, Modality
from raymm.data.prepare import prepare
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError
from raymm.metrics.arrays import as_tensor
from raymm.metrics.matching import RECALLS, hit_rates, match_ranks, matching_metrics
from raymm.tasks.baseline import RidgeBaseline
from raymm.tasks.model import TaskModel, Vectors, check_trained_on, only
from raymm.tasks.paper import FIGURE_4
from raymm.tasks.parts import scored_part
from raymm.tasks.result import PER_CENT, TaskResult, TaskTable, compared
from raymm.tasks.rows import pooled, rows_of
from raymm.training.card import ModelCard
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
    """Ranks (n,) of each query's best match, by direction ("image_to_text").

    Attributes:
        model: by the model.
        ridge: by ridge regression between its encoders; empty without that baseline.
        gallery: how many are ranked.
        groups: (n,) group of each query: those of one group are not independent.
    """

    model: Mapping[str, Tensor]
    ridge: Mapping[str, Tensor]
    gallery: Mapping[str, int]
    groups: Mapping[str, NDArray[np.int64]]


def retrieve(one: Side, two: Side, ridge: RidgeBaseline | None) -> Retrieved:
    """Rank the matches in both directions, by the model and by ridge regression."""
    model, linear, gallery, by_group = {}, {}, {}, {}
    for queries, targets in ((one, two), (two, one)):
        direction = f"{queries.name}_to_{targets.name}"
        groups = (queries.groups, targets.groups)
        by_group[direction] = queries.groups
        gallery[direction] = len(targets.groups)
        sides = as_tensor(queries.model), as_tensor(targets.model)
        model[direction] = match_ranks(*sides, *groups)
        if ridge is not None:
            both = ridge.comparable((queries.name, queries.alone), (targets.name, targets.alone))
            linear[direction] = match_ranks(*both, *groups)
    return Retrieved(model, linear, gallery, by_group)


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
    return held_out_result(retrieve_held_out(saved, dataset, ridge), dataset.name, name)


def retrieve_held_out(
    saved: SavedModel, dataset: Dataset, ridge: RidgeBaseline | None
) -> Retrieved:
    """The ranks behind `held_out_retrieval`; the queries of both directions are the same samples."""
    return retrieve(*_held_out(saved, dataset), ridge)


def held_out_result(found: Retrieved, dataset: str, name: str) -> TaskResult:
    """What `held_out_retrieval` returns, of ranks that are known.

    Args:
        found: by `retrieve_held_out`.
        dataset: name of the data set.
        name: of the model, for tables.
    """
    return _result(found, dataset, name, "the test split of its own data")


def ridge_held_out(card: ModelCard, dataset: Dataset, ridge: RidgeBaseline) -> dict[str, Tensor]:
    """Ranks by ridge regression where `retrieve_held_out` has those of a model, by direction.

    Args:
        card: of a model, for its splits.
        dataset: of encoders' vectors, of the samples that the model was trained on.
        ridge: fitted to its train split.
    """
    ids, one, two = _held_out_parts(card, dataset)
    groups, ranks = _groups(ids), {}
    for queries, targets in ((one, two), (two, one)):
        both = ridge.comparable((queries.name, pooled(queries)), (targets.name, pooled(targets)))
        ranks[f"{queries.name}_to_{targets.name}"] = match_ranks(*both, groups, groups)
    return ranks


def _held_out(saved: SavedModel, dataset: Dataset) -> tuple[Side, Side]:
    """The pairs of the test split, seen through a model and through its encoders alone."""
    check_trained_on(saved, dataset)
    ids, *parts = _held_out_parts(saved.card, dataset)
    groups, sides = _groups(ids), []
    for part in parts:
        seen = saved.embed_dataset(Dataset(dataset.name, ids, (part,), None, ""))
        # Of pixels and token ids there are no vectors of the encoder alone: no baseline asks for them.
        alone = seen.fusion[:, :0] if part.raw else pooled(part)
        sides.append(Side(part.name, groups, seen.fusion, alone))
    return sides[0], sides[1]


def _held_out_parts(
    card: ModelCard, dataset: Dataset
) -> tuple[NDArray[np.str_], Modality, Modality]:
    """Ids of the test split's pairs, and both modalities of those."""
    if len(dataset.modalities) != 2:
        names = ", ".join(modality.name for modality in dataset.modalities)
        raise DataError(f"Retrieval is between two modalities; {dataset.name} has {names}.")
    split = prepare(dataset, card.config.data).test
    both = np.flatnonzero(split.presence.all(axis=1))
    one, two = (
        rows_of(modality, column.row_of[both])
        for modality, column in zip(dataset.modalities, split.columns, strict=True)
    )
    return split.ids[both], one, two


def pairs_retrieval(model: TaskModel, pairs: Pairs, ridge: RidgeBaseline | None) -> TaskResult:
    """Retrieval between the images of a set and their texts: its official test split, if it
    has none its validation split, or all.

    An image that several samples share is there once.

    Args:
        model: of images and texts.
        pairs: with one modality of images and one of texts.
        ridge: baseline.
    """
    scored, part = scored_part(pairs)
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
