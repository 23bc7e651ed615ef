"""A small data set for the tests of sweeps."""

from __future__ import annotations

import numpy as np

from raymm.data.dataset import Dataset, Label, Modality


def dataset(widths: tuple[int, ...] = (3, 5), samples: int = 10) -> Dataset:
    """Tables that every sample has, and a label of two classes."""
    rows = np.arange(samples)
    modalities = tuple(
        Modality(
            f"m{i}", "table", rows, np.zeros((samples, w), np.float32), None,
            tuple(f"c{c}" for c in range(w)),
        )
        for i, w in enumerate(widths)
    )  # fmt: skip
    ids = np.array([f"{i:03}" for i in rows])
    label = Label("y", "classification", rows % 2, ("a", "b"))
    return Dataset("small", ids, modalities, label, "fingerprint")


def with_sequence(length: int = 40, samples: int = 10) -> Dataset:
    """One table, and one sequence of `length` vectors for each sample."""
    tables = dataset((3,), samples)
    values = np.zeros((samples * length, 2), np.float32)
    offsets = np.arange(samples + 1) * length
    sequence = Modality("s", "sequence", np.arange(samples), values, offsets, ("x", "y"))
    return Dataset("long", tables.ids, (*tables.modalities, sequence), tables.label, "other")
