"""What a finished cell leaves, and a model made of it again: without its data set, Ray or MLflow.

A cell's folder holds, besides `result.json`:

    model.safetensors     weights of the best epoch, the loss's temperature among them
    scaling.safetensors   how each modality was standardised
    model.json            settings, modalities with their columns, label, data set, science version
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from raymm.data.dataset import Dataset
from raymm.data.prepared import Split
from raymm.data.scaling import Scaling
from raymm.errors import DataError
from raymm.models.base import FusionModel
from raymm.models.build import build_model
from raymm.storage.address import open_address
from raymm.training.card import CARD, SCALING, ModelCard, read_card
from raymm.training.evaluate import embed_split

if TYPE_CHECKING:
    from raymm.training.new_samples import Expected, Values

WEIGHTS = "model.safetensors"
MODEL_PREFIX = "model."
"""Of the weights in a learner, which also holds the loss's parameters."""
ANY_LENGTH = ("cbmf", "convirt")
"""Models whose tokens have no position, so that sequences may be longer than in training."""


@dataclass(frozen=True)
class Embedded:
    """Samples seen through a model, as arrays. Shapes: n samples, K embeddings, d components.

    Attributes:
        ids: (n,) of the samples.
        fusion: (n, d) float32, of everything that is present, not normalised.
        vectors: (K, n, d) float32, all embeddings, zero where absent; the unimodal ones first.
        present: (K, n) which sample has which.
        names: (K,) modalities behind each, joined with "+".
    """

    ids: NDArray[np.str_]
    fusion: NDArray[np.float32]
    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]
    names: tuple[str, ...]


@dataclass(frozen=True)
class SavedModel:
    """A trained model, ready to embed.

    Attributes:
        scalings: how each modality is standardised; None where it is taken as it is.
        model: in evaluation mode; embeddings are computed where its parameters are.
        metrics: what the cell's test split gave, under the stable names.
        folder: where it came from.
    """

    card: ModelCard
    scalings: tuple[Scaling | None, ...]
    model: FusionModel
    metrics: Mapping[str, float]
    folder: str

    def embed(self, tables: Mapping[str, Values], *, batch_size: int = 256) -> Embedded:
        """Embed new samples, standardised as in training; modalities may be missing.

        Args:
            tables: values of each modality there is: (n, columns) array or frame of a table; of a
                sequence a list (or Series) of (vectors, width) arrays, None where it is missing.
                Frames are laid against each other by their index. See `new_samples.from_tables`.
            batch_size: samples embedded at a time.

        Raises:
            DataError: what is given does not fit what the model was trained on.
        """
        from raymm.training.new_samples import from_tables  # pandas, which training does without

        return self._embedded(from_tables(tables, self._expected()), batch_size)

    def embed_dataset(self, dataset: Dataset, *, batch_size: int = 256) -> Embedded:
        """Embed every sample of a data set by its modalities that the model knows.

        Raises:
            DataError: it has none of them, or one of another kind or width.
        """
        return self._embedded(self.split_of(dataset), batch_size)

    def split_of(self, dataset: Dataset) -> Split:
        """All samples of a data set as batches can be made of, standardised as in training.

        Raises:
            DataError: it has none of the model's modalities, or one of another kind or width.
        """
        from raymm.training.new_samples import from_dataset

        return from_dataset(dataset, self._expected())

    def _expected(self) -> Expected:
        from raymm.training.new_samples import Expected

        card = self.card
        any_length = card.config.model.name in ANY_LENGTH
        return Expected(card.specs, card.columns, self.scalings, any_length)

    def _embedded(self, split: Split, batch_size: int) -> Embedded:
        names = self.card.names
        seen = embed_split(self.model, split, batch_size=batch_size, rank=0, world_size=1)
        return Embedded(
            ids=split.ids,
            fusion=seen.fusion.numpy(),
            vectors=seen.embeddings.vectors.numpy(),
            present=seen.embeddings.present.numpy(),
            names=tuple("+".join(names[each] for each in one) for one in self.model.members),
        )


def load_model(folder: str) -> SavedModel:
    """A finished cell's model, from the cell's folder.

    Args:
        folder: local path or fsspec address, as `storage/<cell key>` of a sweep.

    Raises:
        DataError: no finished model lies there, a file is damaged, or another science version of
            the program has trained it, so that the same weights may mean something else here.
    """
    fs, root = open_address(folder)
    try:
        card = json.loads(fs.cat_file(f"{root}/{CARD}"))
        weights = load(fs.cat_file(f"{root}/{WEIGHTS}"))
        scaling = load(fs.cat_file(f"{root}/{SCALING}"))
        metrics = json.loads(fs.cat_file(f"{root}/result.json"))["metrics"]
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no finished model ({error}). Give the folder of a finished cell: "
            "<storage>/<cell key>, where <storage> is the sweep's --storage."
        ) from error
    except (ValueError, KeyError, SafetensorError) as error:
        raise DataError(
            f"The model in {folder} cannot be read: {error}. A file is damaged: copy the folder "
            "again, or train the cell again."
        ) from error
    try:
        return _built(folder, card, weights, scaling, metrics)
    except (KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"The model in {folder} does not fit its own description: {error}. Train it again, or "
            "use the version of the program that trained it."
        ) from error


def _built(
    folder: str,
    card: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    scaling: Mapping[str, Tensor],
    metrics: Mapping[str, float],
) -> SavedModel:
    read = read_card(folder, card)
    model = build_model(read.specs, read.config.model, read.config.loss)
    own = {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in weights.items()
        if name.startswith(MODEL_PREFIX)
    }
    model.load_state_dict(own)
    model.eval().requires_grad_(False)
    scalings = tuple(
        Scaling(*(scaling[f"{index}.{part}"] for part in ("shift", "factor", "bias")))
        if f"{index}.shift" in scaling
        else None
        for index in range(len(read.specs))
    )
    return SavedModel(read, scalings, model, metrics, folder)
