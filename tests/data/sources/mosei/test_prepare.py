"""CMU-MOSEI's files to a packed data set."""

from __future__ import annotations

from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest

from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.data.sources.mosei.files import MODALITIES
from raymm.data.sources.mosei.prepare import LENGTHS, MoseiSettings, prepare_mosei
from raymm.data.sources.preparation import LEFT_OUT
from raymm.errors import ConfigError, DataError
from tests.data.sources.mosei import files


def prepared(folder: Path, label: str | None = None, **settings: object) -> tuple[Dataset, str]:
    """The data set, and all that was told."""
    to = folder.with_name(f"{folder.name}.packed")
    made = prepare_mosei(str(folder), str(to), MoseiSettings(**settings))  # type: ignore[arg-type]
    told = "\n".join([*made.notes.facts, *made.notes.warnings])
    return load_dataset(str(to), (), label), told


def refusal(folder: Path, **settings: object) -> str:
    before = sorted(folder.parent.iterdir())
    with pytest.raises(DataError) as caught:
        prepared(folder, **settings)  # type: ignore[arg-type]
    assert sorted(folder.parent.iterdir()) == before
    return str(caught.value)


def rows(dataset: Dataset, name: str) -> dict[str, np.ndarray]:
    modality = next(each for each in dataset.modalities if each.name == name)
    assert modality.offsets is not None
    parts = np.split(modality.values, modality.offsets[1:-1])
    return dict(zip(dataset.ids[modality.rows].tolist(), parts, strict=True))


def test_every_vector_of_every_file_comes_through(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    dataset, told = prepared(folder)
    assert [modality.name for modality in dataset.modalities] == list(MODALITIES)
    for name in MODALITIES:
        expected = files.sequences(name, 12)
        found = rows(dataset, name)
        assert found.keys() == expected.keys()
        for key, vectors in expected.items():
            assert np.array_equal(found[key], vectors)
    assert "12 segments (paper: 23,248)" in told
    assert "the paper's" not in told.replace("(paper", "")


def test_labels_are_sentiment_as_it_is_scaled_and_emotions(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    dataset, _ = prepared(folder)
    assert dataset.label is not None
    assert (dataset.label.name, dataset.label.task) == ("sentiment_01", "regression")
    scores = files.targets(12)
    expected = np.array([scores[key][0, 0] for key in dataset.ids])
    assert np.allclose(dataset.label.values, (expected + 3) / 6)
    to = str(tmp_path / "final_aligned.packed")
    for place, name in enumerate(
        ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
    ):
        label = load_dataset(to, (), name).label
        assert label is not None
        assert np.array_equal(label.values, [scores[key][0, place] for key in dataset.ids])


def test_long_sequences_are_cut_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    dataset, told = prepared(folder, max_length={"COVAREP": 2})
    expected = files.sequences("COVAREP", 12)
    for key, vectors in rows(dataset, "COVAREP").items():
        assert np.array_equal(vectors, expected[key][:2])
    cut = sum(len(vectors) > 2 for vectors in expected.values())
    assert f"COVAREP: {cut} sequences were cut to their first 2 vectors; the longest had 6" in told
    assert "glove_vectors: 0 sequences were cut to their first 50 vectors" in told


def test_the_paper_s_lengths_are_the_defaults(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder, 3)
    long = {files.keys(3)[0]: np.ones((1600, 74), np.float32), **files.sequences("COVAREP", 3)}
    long[files.keys(3)[0]] = np.ones((1600, 74), np.float32)
    files.write_csd(folder / "COVAREP.csd", "COVAREP", long)
    dataset, told = prepared(folder)
    assert LENGTHS == {"glove_vectors": 50, "COVAREP": 1500, "FACET": 450, "OpenFace": 450}
    assert len(rows(dataset, "COVAREP")[files.keys(3)[0]]) == 1500
    assert "COVAREP: 1 sequences were cut to their first 1,500 vectors" in told


def test_nan_and_infinity_are_missing_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    data = {
        key: vectors.astype(np.float64) for key, vectors in files.sequences("COVAREP", 12).items()
    }
    names = files.keys(12)
    data[names[0]][0, :3] = [np.nan, np.inf, -np.inf]
    data[names[1]][0, 0] = 1e300  # too large for float32
    data[names[2]][:] = np.nan
    data[names[3]][:] = 0
    files.write_csd(folder / "COVAREP.csd", "COVAREP", data)
    dataset, told = prepared(folder)
    found = rows(dataset, "COVAREP")
    assert np.isnan(found[names[0]][0, :3]).all()
    assert np.isfinite(found[names[0]][0, 3:]).all()
    assert np.isnan(found[names[1]][0, 0])
    assert names[2] not in found
    assert not any(np.isinf(vectors).any() for vectors in found.values())
    gone = 1 + data[names[2]].size
    assert f"COVAREP: {gone} " in told
    assert "COVAREP: 3 (" in told
    assert "are infinite or too large for float32" in told
    assert f"1 samples have no value at all and count as samples without it: '{names[2]}'" in told
    assert f"1 samples hold nothing but zeros; they are kept: '{names[3]}'" in told
    complete, _ = prepared(folder.rename(tmp_path / "again"), complete_only=True)
    assert names[2] not in complete.ids
    assert complete.presence().all()


def test_segments_that_are_not_in_all_files(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    names = files.keys(12)
    facet = files.sequences("FACET", 12)
    del facet[names[4]]
    files.write_csd(folder / "FACET 4.2.csd", "FACET 4.2", facet)
    labels = files.targets(12)
    del labels[names[5]]
    labels["stranger[0]"] = labels[names[0]]
    files.write_csd(folder / files.LABELS, "All Labels", labels)
    dataset, told = prepared(folder)
    assert "FACET 11" in told
    assert "12 in any file, 11 in all of them" in told
    assert "1 labelled segments have no modality: 'stranger[0]'" in told
    assert f"1 segments have no labels: '{names[5]}'" in told
    assert len(dataset.ids) == 12
    assert dataset.label is not None
    assert np.isnan(dataset.label.values).sum() == 1
    assert "stranger[0]" in (tmp_path / "final_aligned.packed" / LEFT_OUT).read_text()
    complete, _ = prepared(folder.rename(tmp_path / "again"), complete_only=True)
    assert set(names) - set(complete.ids) == {names[4], names[5]}


def test_missing_files_are_told_and_several_of_a_kind_refused(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    folder.mkdir()
    assert "holds none of CMU-MOSEI's files (no files at all)" in refusal(folder)
    files.aligned(folder)
    again = folder / "CMU_MOSEI_COVAREP.csd"
    again.write_bytes((folder / "COVAREP.csd").read_bytes())
    assert "several files that could be 'COVAREP'" in refusal(folder)
    (folder / "FACET 4.2.csd").unlink()
    (folder / files.LABELS).unlink()
    dataset, told = prepared(folder, files={"COVAREP": "COVAREP.csd"})
    assert "has no file of 'FACET' and 'Labels': prepared without" in told
    assert len(dataset.modalities) == 3
    assert dataset.label is None


def test_files_that_are_not_aligned_are_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    files.aligned(folder)
    videos = {"video": np.zeros((4, 7), np.float32)}
    files.write_csd(folder / files.LABELS, "All Labels", videos)
    message = refusal(folder)
    assert "is not aligned: its keys are videos ('video')" in message
    assert "process_mosei.py" in message


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    path = folder / "COVAREP.csd"
    whole = path.read_bytes()
    for cut in (0, 10, 500, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert "COVAREP.csd cannot be read" in refusal(folder)
    path.write_bytes(b"not hdf5 at all" * 1000)
    assert "no computational sequence" in refusal(folder)
    with h5py.File(path, "w") as file:
        file.create_group("a")
        file.create_group("b")
    assert "it has 2 root groups, not 1" in refusal(folder)
    files.write_csd(path, "COVAREP", {})
    assert "COVAREP" in refusal(folder)
    odd = files.sequences("COVAREP", 12)
    odd[files.keys(12)[3]] = np.zeros((2, 5), np.float32)
    files.write_csd(path, "COVAREP", odd)
    assert "and shape (2, 5). It should be numbers of shape (vectors, 74)" in refusal(folder)
    files.write_csd(path, "COVAREP", {key: np.array([[b"x"]]) for key in files.keys(12)})
    assert "should be numbers of shape (vectors, width)" in refusal(folder)
    files.write_csd(path, "COVAREP", files.sequences("COVAREP", 12))
    with h5py.File(path, "r+") as file:
        segment = file[f"COVAREP/data/{files.keys(12)[0]}"]
        del segment["intervals"]
        segment["intervals"] = np.zeros((9, 2))
    assert "has 1 vectors and 9 intervals" in refusal(folder)


def test_from_an_address_of_fsspec(tmp_path: Path) -> None:
    folder = tmp_path / "final_aligned"
    files.aligned(folder)
    local, _ = prepared(folder)
    fsspec.filesystem("memory").put(str(folder), "/mosei-files", recursive=True)
    prepare_mosei("memory://mosei-files", str(tmp_path / "remote"))
    assert load_dataset(str(tmp_path / "remote")).fingerprint == local.fingerprint


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="did you mean 'COVAREP'"):
        MoseiSettings(max_length={"COVARP": 5})
    with pytest.raises(ConfigError, match="is out of range"):
        MoseiSettings(max_length={"COVAREP": 0})
