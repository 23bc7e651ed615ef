"""Whether a data set can be trained on at all once it is masked and split. Imports no torch.

What is looked at is the same for all cells of a condition and costs no pass over the values, so a
sweep asks before it starts anything, and `prepare` asks again for each cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raymm.config import DataConfig
from raymm.data import sparsity, splits
from raymm.data.dataset import Dataset, Label
from raymm.errors import DataError


@dataclass(frozen=True)
class Division:
    """What the mask leaves, and which split it goes to.

    Attributes:
        presence: (samples, modalities) which sample still has which modality.
        split: (samples,) TRAIN, VALIDATION or TEST; -1 where nothing is left of the sample.
    """

    presence: NDArray[np.bool_]
    split: NDArray[np.int64]


def divide(dataset: Dataset, config: DataConfig) -> Division:
    """Mask a data set and split what is left.

    Raises:
        DataError: a split comes out empty, or the train split lacks a modality.
        ConfigError: the sparsity is out of range.
    """
    presence = sparsity.apply(dataset, config.sparsity, config.mask_seed)
    split = np.where(presence.any(axis=1), _assigned(dataset, config), -1)
    _check_splits(split, config)
    _check_train(dataset, presence[split == splits.TRAIN], config)
    return Division(presence, split)


def check_feasible(dataset: Dataset, config: DataConfig) -> None:
    """Refuse what no model could be trained on, or what no probe could be fitted and scored on.

    Args:
        dataset: as loaded, with the modalities in use.
        config: sparsity, fractions and seeds; which data set and label is the loader's business.

    Raises:
        DataError: a split comes out empty; the train split lacks a modality; or, where there is a
            label, a split has no labelled sample, the train split's are all of one class, or those
            of validation or test are of none of its classes.
        ConfigError: the sparsity is out of range.
    """
    split = divide(dataset, config).split
    if dataset.label is not None:
        _check_label(dataset.label, split, config)


def _assigned(dataset: Dataset, config: DataConfig) -> NDArray[np.int64]:
    """Split of each sample, (samples,), whatever the mask leaves of it."""
    fractions = (config.validation_fraction, config.test_fraction)
    return dataset.remembered(
        ("split", config.split_seed, *fractions),
        lambda: splits.assign(
            dataset.ids,
            seed=config.split_seed,
            validation_fraction=fractions[0],
            test_fraction=fractions[1],
        ),
    )


def _check_splits(split: NDArray[np.int64], config: DataConfig) -> None:
    for code, name in enumerate(splits.SPLIT_NAMES):
        if not (split == code).any():
            left = int((split >= 0).sum())
            raise DataError(
                f"The {name} split is empty: {left:,} of {len(split):,} samples are left at "
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


def _check_label(label: Label, split: NDArray[np.int64], config: DataConfig) -> None:
    classes = label.task == "classification"
    known = label.values >= 0 if classes else ~np.isnan(label.values)
    for code, name in enumerate(splits.SPLIT_NAMES):
        if not (known & (split == code)).any():
            raise DataError(
                f"None of the {int((split == code).sum()):,} samples of the {name} split has a "
                f"value of the label '{label.name}' at sparsity {config.sparsity:g}, so the probe "
                "cannot be fitted and scored. Label more samples, enlarge the split, or lower the "
                "sparsity."
            )
    if classes:
        _check_classes(label, np.where(known, split, -1), config)


def _check_classes(label: Label, split: NDArray[np.int64], config: DataConfig) -> None:
    """Whether what the train split can teach can be scored.

    Args:
        split: (samples,) -1 for samples that are dropped or without a label.
    """
    seen = np.unique(label.values[split == splits.TRAIN])
    if len(seen) < 2:
        raise DataError(
            f"The train split's labelled samples are all of class "
            f"'{label.classes[int(seen[0])]}' of the label '{label.name}' at sparsity "
            f"{config.sparsity:g}, so there is nothing for the probe to tell apart. Use another "
            "label, more data, or a lower sparsity."
        )
    for code in (splits.VALIDATION, splits.TEST):
        if not np.isin(label.values[split == code], seen).any():
            raise DataError(
                f"No class of the label '{label.name}' that the train split has appears in the "
                f"{splits.SPLIT_NAMES[code]} split at sparsity {config.sparsity:g}, so the probe "
                "cannot be chosen and scored. Enlarge the splits or use a label with fewer classes."
            )
