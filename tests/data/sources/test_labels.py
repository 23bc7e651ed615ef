from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.api.extensions import ExtensionArray

from raymm.data.dataset import Label
from raymm.data.sources.folder import load_folder, survey_folder
from raymm.errors import DataError
from tests.data.sources import folders

Column = Sequence[object] | ExtensionArray | pd.Index


def folder(path: Path, manifest: str = "", **columns: Column) -> str:
    count = len(next(iter(columns.values())))
    labels = pd.DataFrame(columns, index=pd.Index(folders.ids(count), name="id"))
    if manifest:
        (path / "dataset.toml").write_text(manifest)
    return folders.write(path, a=folders.features(folders.ids(count)), labels=labels)


def label(path: Path, manifest: str = "", **columns: Column) -> Label:
    loaded = load_folder(folder(path, manifest, **columns)).label
    assert loaded is not None
    return loaded


@pytest.mark.parametrize(
    ("values", "classes", "codes"),
    [
        (["b", "a", "b", None], ("a", "b"), [1, 0, 1, -1]),
        ([10, 2, 10, 2], ("2", "10"), [1, 0, 1, 0]),
        ([True, False, True, True], ("false", "true"), [1, 0, 1, 1]),
        (pd.array([3, None, 5, 3], dtype="Int64"), ("3", "5"), [0, -1, 1, 0]),
        (pd.Categorical(["x", "y", "x", "y"]), ("x", "y"), [0, 1, 0, 1]),
    ],
)
def test_classes(
    tmp_path: Path, values: Column, classes: tuple[str, ...], codes: list[int]
) -> None:
    found = label(tmp_path, y=values)
    assert (found.task, found.classes) == ("classification", classes)
    np.testing.assert_array_equal(found.values, np.array(codes), strict=True)


def test_floats_and_many_whole_numbers_are_targets(tmp_path: Path) -> None:
    found = label(tmp_path, y=[0.5, 1, np.nan, 2])
    assert (found.task, found.classes) == ("regression", ())
    targets = np.array([0.5, 1, np.nan, 2], dtype=np.float32)
    np.testing.assert_array_equal(found.values, targets, strict=True)
    assert label(tmp_path, y=list(range(21))).task == "regression"
    assert label(tmp_path, y=list(range(20))).task == "classification"


def test_the_manifest_overrules_the_guess(tmp_path: Path) -> None:
    rate = '[label]\ncolumn = "y"\ntask = "regression"\n'
    assert label(tmp_path, rate, y=[1, 2, 3]).task == "regression"
    kind = '[label]\ncolumn = "y"\ntask = "classification"\n[label.classes]\n1="no"\n2="yes"\n'
    assert label(tmp_path, kind, y=[1.0, 2.0, np.nan]).classes == ("no", "yes")
    with pytest.raises(DataError, match=r"takes the values '3', which \[label.classes\]"):
        label(tmp_path, kind, y=[1, 2, 3])
    with pytest.raises(DataError, match="is text, but its task is regression"):
        label(tmp_path, rate, y=["1", "2", "3"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "a"], "has one class only, 'a'"),
        ([7, 7], "has one class only, '7'"),
        ([1.5, 1.5], "is 1.5 for every sample"),
        ([np.nan, np.nan], "is empty for every sample"),
        ([None, None], "is empty"),
        ([0.5, np.inf], r"is infinite for some samples \(1\)"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), r"is of type timestamp.*convert the column"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, values: Column, message: str) -> None:
    with pytest.raises(DataError, match=message):
        label(tmp_path, y=values)


def test_of_several_columns_one_must_be_chosen(tmp_path: Path) -> None:
    address = folder(tmp_path, dead=[0, 1, 1], days=[0.1, 2.5, 3.5])
    with pytest.raises(
        DataError, match=r"several label columns: 'dead' and 'days'\. Choose one wi"
    ):
        load_folder(address)
    chosen = load_folder(address, label="days").label
    assert chosen is not None and chosen.task == "regression"
    survey = survey_folder(address)
    assert [problem.severity for problem in survey.problems] == ["choice"]
    assert [candidate.name for candidate in survey.candidates] == ["dead", "days"]


def test_ids_that_match_no_sample(tmp_path: Path) -> None:
    address = folder(tmp_path, y=[0, 1, 1])
    labels = pd.DataFrame({"y": [1, 0, 1]}, index=["s001", "s002", "else"])
    labels.to_parquet(tmp_path / "labels.parquet")
    survey = survey_folder(address)
    assert survey.dataset.label is not None
    np.testing.assert_array_equal(survey.dataset.label.values, [-1, 1, 0])
    assert "1 of its 3 ids have none" in survey.problems[0].message
    labels.set_axis(["p", "q", "r"]).to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(
        DataError, match=r"none of its 3 ids is a sample's\. It has 'p', 'q' and 1 mo"
    ):
        load_folder(address)


def test_rare_classes_are_pointed_out(tmp_path: Path) -> None:
    survey = survey_folder(folder(tmp_path, y=["a"] * 20 + ["b"] * 3))
    assert "1 of 2 classes have fewer than 10 samples" in survey.problems[0].message
