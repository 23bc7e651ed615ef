"""From a data set to what one cell trains on: mask, drop the empty, split, standardise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.config import DataConfig
from raymm.data import sparsity, splits
from raymm.data.dataset import Dataset, Modality, ModalitySpec
from raymm.data.prepared import Column, PreparedData, Split
from raymm.errors import DataError

__all__ = ["Column", "PreparedData", "Split", "prepare"]


def prepare(dataset: Dataset, config: DataConfig) -> PreparedData:
    """Mask, split and standardise a data set.

    Every column of a table and component of a sequence has mean 0 and deviation 1 over the values
    that the masked train split has. A constant one becomes 0. One without any value there counts
    as missing in the other splits too, since nothing is known of its scale.

    Args:
        dataset: as loaded, with the modalities in use.
        config: sparsity, fractions and seeds; which data set and label is the loader's business.

    Raises:
        DataError: a split comes out empty, or the train split lacks a modality.
        ConfigError: the sparsity is out of range.
    """
    natural = dataset.presence()
    masked = sparsity.apply(dataset, config.sparsity, config.mask_seed)
    kept = masked.any(axis=1)
    assigned = splits.assign(
        dataset.ids,
        seed=config.split_seed,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
    )
    assigned[~kept] = -1
    _check_splits(assigned, config)
    _check_train(dataset, masked[assigned == splits.TRAIN], config)
    scaled = [
        _standardised(modality, masked[:, index] & (assigned == splits.TRAIN))
        for index, modality in enumerate(dataset.modalities)
    ]
    train, validation, test = (
        _split(dataset, scaled, masked, np.flatnonzero(assigned == split))
        for split in (splits.TRAIN, splits.VALIDATION, splits.TEST)
    )
    label = dataset.label
    return PreparedData(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        specs=tuple(map(_spec, dataset.modalities, scaled)),
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


def _check_splits(assigned: NDArray[np.int64], config: DataConfig) -> None:
    for split, name in enumerate(splits.SPLIT_NAMES):
        if not (assigned == split).any():
            left = int((assigned >= 0).sum())
            raise DataError(
                f"The {name} split is empty: {left:,} of {len(assigned):,} samples are left at "
                f"sparsity {config.sparsity:g}, with validation_fraction "
                f"{config.validation_fraction:g} and test_fraction {config.test_fraction:g}. Use "
                "more samples, a lower sparsity, or other fractions."
            )


def _check_train(dataset: Dataset, presence: NDArray[np.bool_], config: DataConfig) -> None:
    for index, modality in enumerate(dataset.modalities):
        if not presence[:, index].any():
            raise DataError(
                f"No sample of the train split has the modality '{modality.name}' at sparsity "
                f"{config.sparsity:g}: {len(modality.rows):,} of {len(dataset.ids):,} samples have "
                f"it before the mask, and the train split has {len(presence):,}. Lower the "
                "sparsity, or leave the modality out."
            )


def _standardised(modality: Modality, in_train: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values in units of the train split's deviation, (n, width).

    Args:
        modality: as loaded.
        in_train: (samples,) whether the modality is present and the sample is trained on.
    """
    chosen = in_train[modality.rows]
    if modality.offsets is not None:
        chosen = np.repeat(chosen, np.diff(modality.offsets))
    known = modality.values[chosen].astype(np.float64)
    missing = np.isnan(known)
    count = (~missing).sum(axis=0)
    known[missing] = 0
    mean = known.sum(axis=0) / np.maximum(count, 1)
    off = np.where(missing, 0, known - mean)
    deviation = np.sqrt((off**2).sum(axis=0) / np.maximum(count, 1))
    # Rounding leaves a constant column a deviation of about 1e-16 of its value.
    constant = deviation <= 1e-12 * np.abs(mean)
    units = (modality.values - mean) / np.where(constant, 1, deviation)
    scaled: NDArray[np.float32] = units.astype(np.float32)
    scaled[:, count == 0] = np.nan
    return np.nan_to_num(scaled, nan=0.0) if modality.kind == "sequence" else scaled


def _split(
    dataset: Dataset,
    scaled: list[NDArray[np.float32]],
    presence: NDArray[np.bool_],
    samples: NDArray[np.int64],
) -> Split:
    label = dataset.label
    return Split(
        ids=dataset.ids[samples],
        presence=presence[samples],
        labels=None if label is None else label.values[samples],
        columns=tuple(
            _column(modality, values, presence[:, index], samples)
            for index, (modality, values) in enumerate(zip(dataset.modalities, scaled, strict=True))
        ),
    )


def _column(
    modality: Modality,
    values: NDArray[np.float32],
    present: NDArray[np.bool_],
    samples: NDArray[np.int64],
) -> Column:
    """The rows of a modality that the samples of a split have."""
    row_in_dataset = np.full(len(present), -1, dtype=np.int64)
    row_in_dataset[modality.rows] = np.arange(len(modality.rows))
    rows = row_in_dataset[samples[present[samples]]]
    row_of = np.full(len(samples), -1, dtype=np.int64)
    row_of[present[samples]] = np.arange(len(rows))
    if modality.offsets is None:
        return Column(modality.kind, row_of, torch.from_numpy(values[rows]), None)
    lengths = np.diff(modality.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    source = np.arange(offsets[-1]) + np.repeat(modality.offsets[rows] - offsets[:-1], lengths)
    return Column(modality.kind, row_of, torch.from_numpy(values[source]), offsets)


def _spec(modality: Modality, scaled: NDArray[np.float32]) -> ModalitySpec:
    if modality.offsets is None:
        missing = bool(np.isnan(scaled).any())
        return ModalitySpec(modality.name, "table", modality.width, modality.width, missing)
    longest = int(np.diff(modality.offsets).max())
    return ModalitySpec(modality.name, "sequence", modality.width, longest)
