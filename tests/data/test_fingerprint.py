from __future__ import annotations

import dataclasses

import numpy as np

from raymm.data.dataset import Label, Modality
from raymm.data.fingerprint import fingerprint

IDS = np.array(["a", "b", "c"])
TABLE = Modality(
    "t", "table", np.array([0, 2]), np.array([[1, np.nan], [0, 4]], np.float32), None, ("x", "y")
)
SEQUENCE = Modality(
    "s",
    "sequence",
    np.array([0, 1]),
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.array([0, 1, 3]),
    ("0", "1"),
)
LABEL = Label("l", "classification", np.array([0, 1, -1]), ("no", "yes"))
TWO = (TABLE, SEQUENCE)


def test_everything_that_counts_changes_it() -> None:
    changed = [
        (np.array(["a", "b", "d"]), TWO, LABEL),
        (np.array(["ab", "", "c"]), TWO, LABEL),
        (IDS, (SEQUENCE, TABLE), LABEL),
        (IDS, (TABLE,), LABEL),
        (IDS, (dataclasses.replace(TABLE, name="u"), SEQUENCE), LABEL),
        (IDS, (dataclasses.replace(TABLE, columns=("x", "z")), SEQUENCE), LABEL),
        (IDS, (dataclasses.replace(TABLE, rows=np.array([0, 1])), SEQUENCE), LABEL),
        (
            IDS,
            (dataclasses.replace(TABLE, values=TABLE.values + np.float32(1e-6)), SEQUENCE),
            LABEL,
        ),
        (IDS, (TABLE, dataclasses.replace(SEQUENCE, offsets=np.array([0, 2, 3]))), LABEL),
        (IDS, TWO, None),
        (IDS, TWO, dataclasses.replace(LABEL, name="m")),
        (IDS, TWO, dataclasses.replace(LABEL, classes=("no", "ja"))),
        (IDS, TWO, dataclasses.replace(LABEL, values=np.array([1, 0, -1]))),
    ]
    prints = {fingerprint(*parts) for parts in [(IDS, TWO, LABEL), *changed]}
    assert len(prints) == len(changed) + 1


def test_how_numbers_are_written_does_not() -> None:
    values = TABLE.values.copy()
    values[0, 1] = -np.nan
    values[1, 0] = -0.0
    values.view(np.uint32)[0, 1] ^= 1
    same = dataclasses.replace(TABLE, values=np.asfortranarray(values))
    assert fingerprint(IDS, (same, SEQUENCE), LABEL) == fingerprint(IDS, TWO, LABEL)
