from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from raymm.data.sources.folder import load_folder, survey_folder
from raymm.errors import DataError, StorageError
from tests.data.sources import folders


def test_tables_are_laid_against_each_other_by_id(tmp_path: Path) -> None:
    names = folders.ids(6)
    audio, video = folders.features(names[2:], 3), folders.features(names[:4], 2, seed=1)
    labels = pd.DataFrame({"y": [0.5, 1, 2, 3, 4, 5]}, index=names)
    address = folders.write(tmp_path, audio=audio.iloc[::-1], video=video, labels=labels)
    dataset = load_folder(address)
    assert dataset.ids.tolist() == names
    assert [modality.name for modality in dataset.modalities] == ["audio", "video"]
    heard, seen = dataset.modalities
    assert heard.rows.tolist() == [2, 3, 4, 5] and seen.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(heard.values, audio.to_numpy())
    np.testing.assert_array_equal(seen.values, video.to_numpy())
    assert heard.columns == ("c0", "c1", "c2")
    assert dataset.label is not None and dataset.label.task == "regression"
    np.testing.assert_array_equal(dataset.label.values, [0.5, 1, 2, 3, 4, 5])
    assert dataset.name == tmp_path.name


def test_rows_without_a_value_are_absent_and_gaps_inside_stay(tmp_path: Path) -> None:
    table = folders.features(folders.ids(4))
    table.iloc[1] = np.nan
    table.iloc[2, 0] = np.nan
    survey = survey_folder(folders.write(tmp_path, a=table, b=folders.features(folders.ids(4))))
    assert survey.dataset.modalities[0].rows.tolist() == [0, 2, 3]
    assert np.isnan(survey.dataset.modalities[0].values).tolist()[1] == [True, False, False]
    assert survey.emptied == {"a": 1, "b": 0}
    assert survey.dataset.label is None


def test_csv_and_parquet_tell_the_same(tmp_path: Path) -> None:
    table = folders.features(["007", "8", "09"])
    table.iloc[0, 1] = np.nan
    labels = pd.DataFrame({"y": ["x", "y", None]}, index=pd.Index(table.index, name="id"))
    for kind in ("parquet", "csv"):
        (tmp_path / kind).mkdir()
    address = folders.write(tmp_path / "parquet", a=table, labels=labels)
    table.to_csv(tmp_path / "csv" / "a.csv")
    labels.iloc[::-1].to_csv(tmp_path / "csv" / "labels.csv")
    one, other = load_folder(address), load_folder(str(tmp_path / "csv"))
    assert one.ids.tolist() == ["007", "09", "8"]
    assert one.label is not None
    np.testing.assert_array_equal(one.label.values, [0, -1, 1])
    assert one.fingerprint == other.fingerprint


def test_sequences_are_stored_ragged(tmp_path: Path) -> None:
    rows: dict[str, list[list[float]] | None] = {
        "e": [[float("nan"), float("nan")]],
        "b": [[1, 2], [3, 4], [5, 6]],
        "c": [],
        "a": [[7, 8]],
        "d": None,
    }
    folders.write_sequences(tmp_path / "text.parquet", rows)
    folders.write(tmp_path, other=folders.features(["a", "b", "c", "d", "e"]))
    dataset = load_folder(str(tmp_path))
    text = dataset.modalities[1]
    assert (text.kind, text.width, text.columns) == ("sequence", 2, ("0", "1"))
    assert text.rows.tolist() == [0, 1]
    assert text.offsets is not None and text.offsets.tolist() == [0, 1, 4]
    np.testing.assert_array_equal(text.values, [[7, 8], [1, 2], [3, 4], [5, 6]])


def test_the_manifest_chooses(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "dataset.toml").write_text(
        'name = "clips"\nlicence = "CC0"\nmodalities = ["video", "audio"]\n'
        '[label]\ncolumn = "kind"\n[label.classes]\na = "cat"\nb = "dog"\n'
        '[columns]\naudio = ["c2", "c0"]\n'
    )
    dataset = load_folder(address)
    assert (dataset.name, dataset.licence) == ("clips", "CC0")
    assert [modality.name for modality in dataset.modalities] == ["video", "audio"]
    assert dataset.modalities[1].columns == ("c2", "c0")
    assert dataset.label is not None and dataset.label.classes == ("cat", "dog")
    assert [m.name for m in load_folder(address, ["audio"]).modalities] == ["audio"]


def test_a_folder_on_another_file_system(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(address, "/bucket/clips", recursive=True)
    try:
        assert load_folder("memory://bucket/clips").fingerprint == load_folder(address).fingerprint
        with pytest.raises(DataError, match="There is no folder 'memory://bucket/none'"):
            load_folder("memory://bucket/none")
    finally:
        memory.rm("/bucket", recursive=True)


def broken(folder: Path, what: str) -> None:
    """A good folder with one thing wrong."""
    names = folders.ids(40)
    path = folder / "audio.parquet"
    audio = pd.read_parquet(path)
    match what:
        case "strangers":
            audio.index = pd.Index([f"x{name}" for name in audio.index], name="id")
        case "duplicates":
            audio.index = pd.Index([*audio.index[:-2], names[5], names[6]], name="id")
        case "text":
            audio["c1"] = "loud"
        case "infinite":
            audio.iloc[3, 1] = np.inf
        case "huge":
            audio = audio.astype(np.float64)
            audio.iloc[3, 1] = 1e200
        case "missing":
            audio[:] = np.nan
        case "constant":
            audio[:] = 3.5
        case "no columns":
            audio = audio[[]]
        case "no id":
            audio.index = pd.Index([None, *audio.index[1:]], name="id")
        case "levels":
            audio.index = pd.MultiIndex.from_product([audio.index, [0]], names=["id", "hour"])
        case "both":
            audio.to_csv(folder / "audio.csv")
    audio.to_parquet(path)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "strangers",
            r"'audio' \('xs005', 'xs006' and 33 more\).*'video'.*no sample id in common\. Use",
        ),
        ("duplicates", r"audio\.parquet: sample ids that stand in several rows: 's005' and 's006'"),
        (
            "text",
            r"audio\.parquet: 1 of 3 columns are not numbers: 'c1' \('c1' holds 'loud'\)\. En",
        ),
        (
            "infinite",
            r"audio\.parquet holds values that are infinite.*\(1, in 1 of 3 columns\): 'c1'\. Re",
        ),
        ("huge", r"too large for float32 \(1, in 1 of 3 columns\): 'c1'"),
        ("missing", r"the modality 'audio' is all missing\. Fill"),
        ("constant", r"the modality 'audio' is constant.*Remove the table"),
        ("no columns", r"audio\.parquet has no column besides the sample id"),
        ("no id", r"audio\.parquet lacks the sample id in 1 of 35 rows"),
        ("levels", r"audio\.parquet has an index of 2 levels\. Keep"),
        ("both", r"holds both audio\.csv and audio\.parquet\. Keep one"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, what: str, message: str) -> None:
    address = folders.two_views(tmp_path)
    broken(tmp_path, what)
    with pytest.raises(DataError, match=message):
        load_folder(address)


def test_columns_that_carry_nothing_are_pointed_out_but_allowed(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    audio = pd.read_parquet(tmp_path / "audio.parquet")
    audio["c0"], audio["c3"] = 1.0, np.nan
    audio.iloc[0, 1] = 1e6
    audio.to_parquet(tmp_path / "audio.parquet")
    messages = [problem.message for problem in survey_folder(address).problems]
    assert len(messages) == 2
    assert "1 of 4 columns hold no value at all and carry nothing: 'c3'" in messages[0]
    assert "1 of 4 columns have one value only and become 0: 'c0'" in messages[1]
    assert load_folder(address).modalities[0].width == 4


def test_an_outlier_is_pointed_out(tmp_path: Path) -> None:
    table = folders.features(folders.ids(2000))
    table.iloc[7, 2] = 4000
    survey = survey_folder(folders.write(tmp_path, a=table))
    assert [problem.severity for problem in survey.problems] == ["warning"]
    assert "over 30 standard deviations" in survey.problems[0].message
    assert "'c2'" in survey.problems[0].message


def test_every_problem_is_found_and_the_first_one_counts_the_others(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    broken(tmp_path, "text")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    (tmp_path / "third.csv").write_text("id,x\ns001,1\ns002\n")
    errors = [p.message for p in survey_folder(address).problems if p.severity == "error"]
    assert len(errors) == 3
    with pytest.raises(DataError, match=r"not numbers.*\(2 more problems: `raymm data check "):
        load_folder(address)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        load_folder(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"holds no tables of modalities \(nothing\)\. Put"):
        load_folder(str(tmp_path))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "labels.csv").write_text("id,y\na,1\n")
    with pytest.raises(DataError, match=r"'labels\.csv' and 'notes\.txt'"):
        load_folder(str(tmp_path))
    with pytest.raises(DataError, match=r"is a file\. Give the folder"):
        load_folder(str(tmp_path / "notes.txt"))
    with pytest.raises(StorageError, match="nosuch"):
        load_folder("nosuch://bucket/folder")


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    with pytest.raises(DataError, match="no modality 'vidoe': did you mean 'video'"):
        load_folder(address, ["vidoe"])
    with pytest.raises(DataError, match="no label column 'kin': did you mean 'kind'"):
        load_folder(address, label="kin")
    with pytest.raises(DataError, match="'audio' is asked for twice"):
        load_folder(address, ["audio", "audio"])
    (tmp_path / "dataset.toml").write_text('[columns]\naudio = ["c9"]\n')
    with pytest.raises(DataError, match="no column 'c9'"):
        load_folder(address)
    (tmp_path / "labels.parquet").unlink()
    with pytest.raises(DataError, match="no labels file, but the label 'kind' is asked for"):
        load_folder(address, ["video"], label="kind")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[[1.0], [2.0, 3.0]], [[1.0]]], "vectors of different widths: '1' and '2'"),
        ([[[1.0], None], [[1.0]]], r"holds null vectors \(1\)"),
        ([[1.0, 2.0], [3.0]], "A sequence holds lists of vectors of numbers"),
        ([[["x"]], [["y"]]], "A sequence holds lists of vectors of numbers"),
    ],
)
def test_lists_that_are_no_sequences(tmp_path: Path, values: list[object], message: str) -> None:
    pd.DataFrame({"id": ["a", "b"], "values": values}).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(DataError, match=message):
        load_folder(str(tmp_path))


def test_a_sequence_stands_alone_in_its_table(tmp_path: Path) -> None:
    values = [[[1.0]], [[2.0]]]
    table = pd.DataFrame({"id": ["a", "b"], "values": values, "n": [1, 1]})
    table.to_parquet(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="has 2 columns, one of them with lists: 'values' and 'n'"):
        load_folder(str(tmp_path))
    (tmp_path / "dataset.toml").write_text('[columns]\ntext = ["values"]\n')
    assert load_folder(str(tmp_path)).modalities[0].kind == "sequence"


@pytest.mark.parametrize("name", ["mean", "fusion", "unimodal_mean", "mean_blood"])
def test_a_modality_has_no_name_that_metrics_over_all_have(tmp_path: Path, name: str) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "audio.parquet").rename(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=rf"/{name}\.parquet: a modality cannot be .*Rename the"):
        load_folder(address)
    assert [p.severity for p in survey_folder(address).problems] == ["error"]
    assert load_folder(address, ["video"]).modalities[0].name == "video"


@pytest.mark.parametrize("name", ["a:b", "50%", "a+b", "x\ty", "caf\u00e9?"])
def test_a_modality_is_named_as_a_metric_can_be(tmp_path: Path, name: str) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "audio.parquet").rename(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"the modality's name holds '.'.*Rename the file"):
        load_folder(address)
    assert [p.severity for p in survey_folder(address).problems] == ["error"]


@pytest.mark.parametrize("name", ["meaning", "Heart rate_2.b-c", "caf\u00e9"])
def test_plain_names_are_left_alone(tmp_path: Path, name: str) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "audio.parquet").rename(tmp_path / f"{name}.parquet")
    assert name in [modality.name for modality in load_folder(address).modalities]
