"""QQP, MRPC and STS-B: GLUE's files and their makers' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError
from tests.data.sources.pairs import layouts


def rows(pairs: Pairs) -> list[tuple[object, ...]]:
    first, second = pairs.of("text_a").values, pairs.of("text_b").values
    labels = pairs.labels[0].values.tolist()
    return list(zip(pairs.ids.tolist(), first, second, labels, strict=True))


@pytest.mark.parametrize(
    ("make", "label", "expected"),
    [
        (layouts.glue_qqp, "duplicate",
         [("test-000000", "E?", "F?", -1), ("train-000000", 'What is "it"?', 'What"s it?', 1),
          ("train-000001", "A?", "B?", 0), ("validation-000000", "C?", "D?", 0)]),
        (layouts.quora, "duplicate", [("all-000000", 'What\nis "it"?', "What is that?", 1)]),
        (layouts.glue_mrpc, "paraphrase",
         [("test-000000", "E", "F", -1), ("train-000000", '"He said so', "He did say so", 1),
          ("train-000001", "A", "B", 0), ("validation-000000", "C", "D", 0)]),
        (layouts.msr, "paraphrase",
         [("test-000000", "C", "D", 0), ("train-000000", "A", "B", 1)]),
        (layouts.sts, "score",
         [("test-000000", "A plane.", 'An air "plane".', 1.25),
          ("train-000000", "A plane.", 'An air "plane".', 5.0),
          ("train-000001", "A plane.", 'An air "plane".', np.float32(0.2)),
          ("validation-000000", "A plane.", 'An air "plane".', 3.0)]),
    ],
)  # fmt: skip
def test_each_layout(
    tmp_path: Path, make: Callable[[Path], Path], label: str, expected: list[tuple[object, ...]]
) -> None:
    pairs = load_pairs(str(make(tmp_path)))
    assert pairs.labels[0].name == label and rows(pairs) == expected
    kind = "regression" if label == "score" else "classification"
    assert pairs.labels[0].task == kind
    assert (pairs.splits is None) == (make is layouts.quora)


def test_glue_sts_b(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.glue_stsb(tmp_path)))
    assert pairs.split("train").labels[0].values.tolist() == [5.0]
    assert np.isnan(pairs.split("test").labels[0].values).all()


def test_a_few_damaged_lines_are_left_out(tmp_path: Path) -> None:
    good = "".join(f"{n}\t1\t2\tA{n}?\tB?\t1\n" for n in range(200))
    layouts.write(tmp_path / "train.tsv", layouts.GLUE_QQP + good + "7\t8\t9\tcut\n")
    pairs = load_pairs(str(tmp_path))
    assert len(pairs.ids) == 200 and "'201'" in pairs.warnings[0]


def test_many_damaged_lines_are_an_error(tmp_path: Path) -> None:
    layouts.write(tmp_path / "train.tsv", layouts.GLUE_QQP + "1\t1\t2\tA\tB\t1\n7\t8\t9\tcut\n")
    with pytest.raises(DataError, match=r"1 of 2 lines lack a text or a label .*'2'"):
        load_pairs(str(tmp_path))


def test_files_of_another_set(tmp_path: Path) -> None:
    layouts.write(tmp_path / "train.tsv", "premise\thypothesis\tlabel\nA\tB\t1\n")
    with pytest.raises(DataError, match="is of no known set"):
        load_pairs(str(tmp_path))
    layouts.glue_qqp(tmp_path)
    layouts.write(tmp_path / "dev.tsv", layouts.GLUE_MRPC + "1\t1\t2\tA\tB\n")
    with pytest.raises(DataError, match="files of several sets"):
        load_pairs(str(tmp_path))


def test_a_label_that_is_none(tmp_path: Path) -> None:
    layouts.write(tmp_path / "train.tsv", layouts.GLUE_QQP + "1\t1\t2\tA\tB\tyes\n")
    with pytest.raises(DataError, match="a label of qqp is"):
        load_pairs(str(tmp_path))
