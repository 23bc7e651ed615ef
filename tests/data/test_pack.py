from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from raymm.data.dataset import Label
from raymm.data.fingerprint import fingerprint
from raymm.data.pack import pack
from raymm.data.pack_writer import PackWriter
from raymm.data.packed import open_packed
from raymm.data.spool import Spool
from raymm.errors import DataError
from tests.data.test_prepare import DATA

ONE = np.ones((1, 2), np.float32)


def test_rows_may_come_one_by_one_and_labels_in_any_order(tmp_path: Path) -> None:
    to = tmp_path / "set"
    with PackWriter(to, name="clips", licence="CC0") as writer:
        writer.modality("text", "sequence", ("x", "y"))
        writer.modality("age", "table", ("years",))
        writer.append("age", ["a"], np.array([[3]], np.float32))
        writer.append("text", ["b"], np.arange(4, dtype=np.float32).reshape(2, 2), [2])
        writer.append("text", ["c"], ONE, [1])
        writer.append("age", ["c", "d"], np.array([[np.nan], [5]], np.float32))
        mood = Label("mood", "classification", np.array([1, 0, 1]), ("sad", "glad"))
        writer.label(mood, ["d", "a", "zz"])
        writer.label(Label("score", "regression", np.array([2.5], np.float32), ()), ["b"])
    with pytest.raises(DataError, match=r"several labels: 'mood' and 'score'. Choose one with"):
        open_packed(str(to))
    opened = open_packed(str(to), label="mood")
    assert (opened.name, opened.licence, opened.ids.tolist()) == ("clips", "CC0", [*"abcd"])
    text, age = opened.modalities
    assert text.rows.tolist() == [1, 2] and age.rows.tolist() == [0, 2, 3]
    assert text.offsets is not None and text.offsets.tolist() == [0, 2, 3]
    assert text.values.tolist() == [[0, 1], [2, 3], [1, 1]]
    assert (text.has_missing, age.has_missing) == (False, True)
    assert opened.label is not None and opened.label.values.tolist() == [0, -1, -1, 1]
    scores = open_packed(str(to), label="score").label
    assert scores is not None
    np.testing.assert_array_equal(scores.values, np.float32([np.nan, 2.5, np.nan, np.nan]))
    assert opened.fingerprint == fingerprint(opened.ids, opened.modalities, opened.label)


def writer_of(to: Path) -> PackWriter:
    writer = PackWriter(to, name="n")
    writer.modality("s", "sequence", ("x", "y"))
    writer.modality("t", "table", ("x", "y"))
    writer.append("t", ["b"], ONE)
    return writer


MISTAKES = {
    "No modality 'u' was begun": lambda w: w.append("u", ["c"], ONE),
    "given the sample 'a' after 'b'": lambda w: w.append("t", ["a"], ONE),
    "given the sample 'b' after 'b'": lambda w: w.append("t", ["b"], ONE),
    "'c' after 'd'": lambda w: w.append("t", ["d", "c"], np.ones((2, 2), np.float32)),
    r"float64 values of shape \(1, 2\).*Give float32": lambda w: w.append(
        "t", ["c"], ONE.astype(np.float64)
    ),
    r"shape \(1, 2\) for 2 samples. Give float32 of shape \(2, 2\)": lambda w: w.append(
        "t", ["c", "d"], ONE
    ),
    "is a table and was given 1 lengths": lambda w: w.append("t", ["c"], ONE, [1]),
    "is a sequence and was given 0 lengths for 1": lambda w: w.append("s", ["c"], ONE),
    "each 1 or more": lambda w: w.append("s", ["c", "d"], ONE, [1, 0]),
    r"infinite values \(2\), in the rows of 'c'": lambda w: w.append("t", ["c"], ONE * np.inf),
    "there already, or its name": lambda w: w.modality("t", "table", ("x",)),
    "cannot name a file": lambda w: w.modality("../t", "table", ("x",)),
    "has no columns": lambda w: w.modality("u", "table", ()),
    "'s' has no rows": lambda w: None,
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told_and_leaves_nothing(tmp_path: Path, message: str) -> None:
    with (
        pytest.raises(DataError, match=message),
        writer_of(tmp_path / "set") as writer,
    ):
        MISTAKES[message](writer)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=r"is there already. Remove it"):
        pack(DATA, str(tmp_path / "set"))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("step", ["append", "finish"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, step, full)
    with pytest.raises(DataError, match=r"No space left on device.*See that the disk has room"):
        pack(DATA, str(tmp_path / "set"))
    assert not list(tmp_path.iterdir())
