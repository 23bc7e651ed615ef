"""The baseline of tasks across modalities: ridge regression between the two encoders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raymm.data.dataset import Dataset
from raymm.data.prepare import prepare
from raymm.data.prepared import Split
from raymm.metrics.arrays import as_tensor
from raymm.metrics.ridge import Alignment, align
from raymm.metrics.zero_shot import top_accuracies
from raymm.tasks.model import Embedding, TaskModel, Vectors
from raymm.tasks.rows import pooled
from raymm.training.card import ModelCard


@dataclass(frozen=True)
class RidgeBaseline:
    """Fitted to the train split that a model was trained on, chosen on its validation split.

    Attributes:
        alignments: (queries' modality, gallery's) -> how they are made comparable.
    """

    alignments: Mapping[tuple[str, str], Alignment]

    def comparable(
        self, queries: tuple[str, Vectors], gallery: tuple[str, Vectors]
    ) -> tuple[Tensor, Tensor]:
        """Queries and gallery whose cosines can be compared.

        Args:
            queries, gallery: modality and (n, w) pooled vectors of its encoder.
        """
        alignment = self.alignments[queries[0], gallery[0]]
        return (
            as_tensor(alignment.queries(queries[1])),
            as_tensor(alignment.gallery(gallery[1])),
        )

    def classify(
        self, model: TaskModel, images: Embedding, names: Sequence[str], codes: Tensor
    ) -> dict[str, float]:
        """Zero-shot accuracies with the classes' bare names; see `top_accuracies`."""
        (image,), (text,) = model.modalities("image"), model.modalities("text")
        vectors = model.encoders[text].encode(names).values
        sides = self.comparable((image, images.alone[image]), (text, vectors))
        return top_accuracies(*sides, codes)


def ridge_baseline(card: ModelCard, dataset: Dataset) -> RidgeBaseline:
    """Ridge regression between each two modalities, in both directions.

    Args:
        card: of the model; its splits are used.
        dataset: that the model was trained on.
    """
    prepared = prepare(dataset, card.config.data)
    vectors = {each.name: pooled(each) for each in dataset.modalities}
    sides = {
        split: _of_split(getattr(prepared, split), card.names, vectors)
        for split in ("train", "validation")
    }
    names = card.names
    return RidgeBaseline(
        {
            (one, two): align(
                *((sides[split][one, two], sides[split][two, one]) for split in sides)
            )
            for one in names
            for two in names
            if one != two
        }
    )


def _of_split(
    split: Split, names: Sequence[str], vectors: Mapping[str, Vectors]
) -> dict[tuple[str, str], NDArray[np.float32]]:
    """(one, two) -> pooled vectors of `one`, of the samples that have both."""
    rows = dict(zip(names, (column.row_of for column in split.columns), strict=True))
    return {
        (one, two): vectors[one][rows[one][(rows[one] >= 0) & (rows[two] >= 0)]]
        for one in names
        for two in names
        if one != two
    }
