"""Which samples of a set a task trains on, chooses on and is scored on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raymm.data import splits
from raymm.data.dataset import Label
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError

CARVED: Final = 0.15
"""Share of the samples that is set aside where a set has no split of its own for it."""
SPLIT_SEED: Final = 0


@dataclass(frozen=True)
class Parts:
    """Places (n,) of the labelled samples of each part, and how they were found, in words."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    how: str


def parts(pairs: Pairs, label: Label) -> Parts:
    """Train, validation and test of a set: official splits where they are labelled.

    A set whose test split has no labels (GLUE, Tiny ImageNet) is scored on its validation split, and
    chosen on a part of its train split, as is one that has no validation split; a set without
    splits is cut by sample id.

    Raises:
        DataError: no sample has a label, or a part is empty.
    """
    known = label.values >= 0 if label.task == "classification" else ~np.isnan(label.values)
    official = pairs.splits if pairs.splits is not None else np.full(len(pairs.ids), "")
    there = {name: known & (official == name) for name in ("train", "validation", "test")}
    has = {name: bool(found.any()) for name, found in there.items()}
    if has["test"] and has["validation"]:
        masks, how = there, "official splits"
    elif has["test"] or has["validation"]:
        scored = "test" if has["test"] else "validation"
        held = _carved(pairs, there["train"])
        masks = {"train": there["train"] & ~held, "validation": held, "test": there[scored]}
        how = f"scored on the official {scored} split; {CARVED:.0%} of the train split set aside"
    else:
        held = _carved(pairs, known)
        test = _carved(pairs, known, test=True)
        masks = {"train": known & ~held & ~test, "validation": held, "test": test}
        how = f"cut by sample id: {CARVED:.0%} to choose on, {CARVED:.0%} scored"
    found = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    for name in ("validation", "test"):
        if not len(found[name]):
            raise DataError(
                f"{pairs.name} has no labelled sample for the {name} part ({how}). Give a set with "
                f"the label '{label.name}' in more samples."
            )
    return Parts(found["train"], found["validation"], found["test"], how)


def _carved(pairs: Pairs, among: NDArray[np.bool_], *, test: bool = False) -> NDArray[np.bool_]:
    """Some of the samples, decided by their ids alone."""
    drawn = splits.assign(
        pairs.ids, seed=SPLIT_SEED, validation_fraction=CARVED, test_fraction=CARVED
    )
    chosen: NDArray[np.bool_] = among & (drawn == (splits.TEST if test else splits.VALIDATION))
    return chosen


def label_of(pairs: Pairs, task: str) -> Label:
    """The label of a set that is of a task, "classification" or "regression".

    Of several the first, which is the finest: CIFAR-100's 100 classes, not their 20 groups.

    Raises:
        DataError: there is none.
    """
    found = [label for label in pairs.labels if label.task == task]
    if not found:
        names = ", ".join(f"{each.name} ({each.task})" for each in pairs.labels) or "none"
        raise DataError(
            f"{pairs.name} should have a label for {task}, and has {names}. Give another set, or name "
            "the column of a table with `--columns label=NAME`."
        )
    return found[0]


def scored_part(pairs: Pairs) -> tuple[Pairs, str]:
    """The samples that a model without training on a set is scored on, and which those are, in words.

    The official test split; where there is none, as in COCO and Tiny ImageNet, the validation split;
    all of a set without splits.
    """
    name = pairs.held_out()
    return (pairs.split(name), f"the official {name} split") if name else (pairs, "all samples")
