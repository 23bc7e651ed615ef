"""A finished cell's weights scored on its test split at other sparsities, without training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from raymm.data.dataset import Dataset
from raymm.data.prepare import PreparedData, prepare
from raymm.data.prepared import Split
from raymm.errors import DataError
from raymm.models.base import FusionModel
from raymm.science import SCIENCE_VERSION
from raymm.storage.address import open_address
from raymm.training.evaluate import SplitEmbeddings, embed_split, score_splits
from raymm.training.saved import load_model

FILE = "cross_sparsity.json"
BATCH = 256
"""Samples embedded at a time."""

ScoresBySparsity = dict[float, dict[str, float]]


def cross_sparsity(
    folder: str, dataset: Dataset, sparsities: Sequence[float], device: torch.device | str = "cpu"
) -> ScoresBySparsity:
    """Metrics of a cell's test split at each sparsity; those that are known are not computed again.

    The model, the standardisation and the train and validation splits, on which the probe is fitted
    and chosen, are those of the cell. Its test split is masked anew with the same mask seed, so at the
    sparsity of its training the metrics are the cell's own, but for the rounding of the weights as
    they are kept (in half the space). Samples left with nothing are dropped, and
    the gallery of ranks with them.

    Args:
        folder: of the cell; `cross_sparsity.json` is left there.
        dataset: what the cell was trained on.
        sparsities: of the test split.

    Raises:
        DataError: no finished model lies there, or it was trained on other data.
    """
    known = read_scores(folder)
    missing = [sparsity for sparsity in sparsities if sparsity not in known]
    if missing:
        known |= _scored(folder, dataset, missing, device)
        _write(folder, known)
    return {sparsity: known[sparsity] for sparsity in sparsities}


def read_scores(folder: str) -> ScoresBySparsity:
    """What `cross_sparsity` has left; nothing if another science version did, or it is damaged."""
    fs, root = open_address(folder)
    try:
        content: Mapping[str, Any] = json.loads(fs.cat_file(f"{root}/{FILE}"))
        if content["science_version"] != SCIENCE_VERSION:
            return {}
        return {float(key): dict(metrics) for key, metrics in content["by_sparsity"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # computed anew


def _scored(
    folder: str, dataset: Dataset, sparsities: Sequence[float], device: torch.device | str
) -> ScoresBySparsity:
    saved = load_model(folder)
    card, model = saved.card, saved.model.to(device)
    if dataset.fingerprint != card.fingerprint:
        raise DataError(
            f"The model in {folder} was trained on other data than {dataset.name} is now: "
            f"fingerprint {card.fingerprint}, not {dataset.fingerprint}. Give --dataset the data "
            "it was trained on, or train it again."
        )
    data = card.config.data
    own = prepare(dataset, data)
    fitted = {name: _embedded(model, getattr(own, name)) for name in ("train", "validation")}
    scores: ScoresBySparsity = {}
    for sparsity in sparsities:
        masked = prepare(dataset, dataclasses.replace(data, sparsity=sparsity))
        prepared = dataclasses.replace(own, test=_standardised_as(own, masked.test))
        embedded = {**fitted, "test": _embedded(model, prepared.test)}
        scored = score_splits(prepared, embedded, ("test",))["test"]
        realised = float(1 - masked.test.presence.mean())
        scores[sparsity] = scored.metrics | {"sparsity/realised": realised}
    return scores


def _standardised_as(own: PreparedData, test: Split) -> Split:
    """A split with the standardisation that the model was trained with."""
    columns = tuple(
        dataclasses.replace(column, scaling=mine.scaling)
        for column, mine in zip(test.columns, own.test.columns, strict=True)
    )
    return dataclasses.replace(test, columns=columns)


def _embedded(model: FusionModel, split: Split) -> SplitEmbeddings:
    return embed_split(model, split, batch_size=BATCH, rank=0, world_size=1)


def _write(folder: str, scores: ScoresBySparsity) -> None:
    fs, root = open_address(folder)
    by_sparsity = {repr(sparsity): metrics for sparsity, metrics in sorted(scores.items())}
    content = {"science_version": SCIENCE_VERSION, "by_sparsity": by_sparsity}
    fs.pipe_file(f"{root}/{FILE}", json.dumps(content, indent=1).encode())
