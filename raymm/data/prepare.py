"""From a data set to what one cell trains on: mask, drop the empty, split, standardise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.config import DataConfig
from raymm.data import splits
from raymm.data.dataset import Dataset, Modality, ModalitySpec
from raymm.data.feasible import divide
from raymm.data.prepared import Column, PreparedData, Split
from raymm.data.scaling import Scaling, fit

__all__ = ["Column", "PreparedData", "Split", "prepare"]


def prepare(dataset: Dataset, config: DataConfig) -> PreparedData:
    """Mask, split and standardise a data set.

    Nothing of its values is copied: splits refer to them, and batches standardise what they gather.
    Every column of a table and component of a sequence has mean 0 and deviation 1 over the values
    that the masked train split has. A constant one becomes 0. One without any value there counts
    as missing in the other splits too, since nothing is known of its scale. Raw modalities stay
    as they are.

    Args:
        dataset: as loaded, with the modalities in use.
        config: sparsity, fractions and seeds; which data set and label is the loader's business.

    Raises:
        DataError: a split comes out empty, or the train split lacks a modality.
        ConfigError: the sparsity is out of range.
    """
    natural = dataset.presence()
    division = divide(dataset, config)
    masked, assigned = division.presence, division.split
    kept = assigned >= 0
    scalings = [
        None
        if modality.raw
        else _scaling(dataset, index, masked[:, index] & (assigned == splits.TRAIN), config)
        for index, modality in enumerate(dataset.modalities)
    ]
    train, validation, test = (
        _split(dataset, scalings, masked, np.flatnonzero(assigned == split))
        for split in (splits.TRAIN, splits.VALIDATION, splits.TEST)
    )
    label = dataset.label
    return PreparedData(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        specs=tuple(map(_spec, dataset.modalities, scalings)),
        train=train,
        validation=validation,
        test=test,
        label=None if label is None else label.name,
        task=None if label is None else label.task,
        classes=() if label is None else label.classes,
        sparsity_natural=float(1 - natural.mean()),
        sparsity_masked=float(1 - masked.mean()),
        sparsity_realised=float(1 - masked[kept].mean()),
        samples_dropped=int((~kept).sum()),
    )


def _scaling(
    dataset: Dataset, index: int, in_train: NDArray[np.bool_], config: DataConfig
) -> Scaling:
    """Scaling of a modality, fitted to the rows of the samples that have it and are trained on.

    Args:
        in_train: (samples,) which those are; the settings decide it.
    """
    modality = dataset.modalities[index]
    decides = (
        config.sparsity,
        config.mask_seed,
        config.split_seed,
        config.validation_fraction,
        config.test_fraction,
    )
    rows = np.flatnonzero(in_train[modality.rows])
    return dataset.remembered(("scaling", index, *decides), lambda: fit(modality, rows))


def _split(
    dataset: Dataset,
    scalings: Sequence[Scaling | None],
    presence: NDArray[np.bool_],
    samples: NDArray[np.int64],
) -> Split:
    label = dataset.label
    return Split(
        ids=dataset.ids[samples],
        presence=presence[samples],
        labels=None if label is None else label.values[samples],
        columns=tuple(
            _column(modality, scaling, presence[:, index], samples)
            for index, (modality, scaling) in enumerate(
                zip(dataset.modalities, scalings, strict=True)
            )
        ),
    )


def _column(
    modality: Modality,
    scaling: Scaling | None,
    present: NDArray[np.bool_],
    samples: NDArray[np.int64],
) -> Column:
    """The rows of a modality that the samples of a split have; its values stay where they are."""
    row_in_dataset = np.full(len(present), -1, dtype=np.int64)
    row_in_dataset[modality.rows] = np.arange(len(modality.rows))
    row_of = np.where(present, row_in_dataset, -1)[samples]
    return Column(
        modality.kind, row_of, modality.values, modality.offsets, scaling, modality.mapping
    )


def _spec(modality: Modality, scaling: Scaling | None) -> ModalitySpec:
    name, width = modality.name, modality.width
    if modality.offsets is not None:
        longest = int(np.diff(modality.offsets).max())
        return ModalitySpec(name, "sequence", width, longest, raw=modality.raw)
    unknown = scaling is not None and bool(scaling.bias.isnan().any())
    missing = modality.has_missing or unknown
    return ModalitySpec(name, "table", width, width, missing, raw=modality.raw)
