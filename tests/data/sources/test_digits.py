from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from raymm.data.sources import digits, load_dataset
from raymm.errors import DataError

VIEWS = {"fou": 76, "fac": 216, "kar": 64, "pix": 240, "zer": 47, "mor": 6}


def test_all_six_views() -> None:
    dataset = load_dataset("digits", list(VIEWS))
    assert {modality.name: modality.values.shape for modality in dataset.modalities} == {
        view: (2000, columns) for view, columns in VIEWS.items()
    }
    assert dataset.presence().all()
    assert dataset.label is not None
    assert (dataset.label.name, dataset.label.task) == ("digit", "classification")
    assert np.bincount(dataset.label.values).tolist() == [200] * 10
    # UCI's first row, as published.
    first = dataset.modalities[0].values[0, :3].tolist()
    assert first == pytest.approx([0.065882, 0.19731, 0.10383])
    assert dataset.modalities[5].values[0].tolist() == pytest.approx(
        [1, 0, 0, 133.15, 1.3117, 1620.2]
    )


def test_rows_of_different_views_are_the_same_digit() -> None:
    """Karhunen-Loève coefficients are a linear map of the pixels, so one predicts the other."""
    pixels, karhunen = load_dataset("digits", ["pix", "kar"]).modalities
    known = np.column_stack([pixels.values, np.ones(2000)])
    fit, *_ = np.linalg.lstsq(known, karhunen.values, rcond=None)
    left = ((karhunen.values - known @ fit) ** 2).sum()
    spread = ((karhunen.values - karhunen.values.mean(axis=0)) ** 2).sum()
    assert left / spread < 0.1


def test_the_default_grid_has_four_views() -> None:
    dataset = load_dataset("digits")
    assert [modality.name for modality in dataset.modalities] == ["fou", "kar", "zer", "mor"]
    assert sum(modality.width for modality in dataset.modalities) == 193
    assert dataset.licence == "CC BY 4.0"


def test_the_fingerprint_never_changes() -> None:
    """Cell keys hang on it: a change here makes every recorded result unfindable."""
    expected = "f55b0a4e9369a2a21270a924edb10b8b3d81d540ac5c844fe937f6255df23d64"
    assert load_dataset("digits").fingerprint == expected


def test_a_damaged_table_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "digits"
    shutil.copytree(digits.FOLDER, copy)
    monkeypatch.setattr(digits, "FOLDER", copy)
    digits.verified_folder()
    content = bytearray((copy / "kar.parquet").read_bytes())
    content[1000] ^= 1
    (copy / "kar.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"kar\.parquet is missing or damaged"):
        load_dataset("digits")


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="'digit': did you mean 'digits'"):
        load_dataset("digit")
    with pytest.raises(DataError, match="no modality 'far'"):
        load_dataset("digits", ["far"])
