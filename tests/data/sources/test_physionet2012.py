"""PhysioNet 2012's files to a packed data set. The patients are made up."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.data.sources.physionet2012.prepare import MEASURED, prepare_physionet2012
from raymm.errors import DataError

RECORD = """Time,Parameter,Value
00:00,RecordID,{record}
00:00,Age,{age}
00:00,Gender,0
00:00,Height,-1
00:00,ICUType,{unit}
00:00,Weight,-1
00:07,HR,73
00:07,Temp,35.1
05:30,HR,91
47:59,HR,80
12:00,Weight,81.6
13:00,Weight,-1
"""
MORE = """01:00,BUN,13
02:00,pH,7.4
02:30,MechVent,1
10:00,MechVent,1
03:00,Troponin,2
"""


def records(count: int) -> dict[str, str]:
    """Every third patient has had more taken."""
    return {
        str(132539 + number): RECORD.format(
            record=132539 + number, age=50 + number, unit=1 + number % 4
        )
        + (MORE if number % 3 == 0 else "")
        for number in range(count)
    }


def outcomes(folder: Path, names: list[str], letter: str = "a") -> None:
    lines = ["RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"]
    lines += [f"{name},6,1,5,-1,{place % 2}" for place, name in enumerate(names)]
    (folder / f"Outcomes-{letter}.txt").write_text("\n".join(lines) + "\n")


def layout(folder: Path, kind: str, count: int = 12) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = records(count)
    if kind == "zip":
        with zipfile.ZipFile(folder / "set-a.zip", "w") as archive:
            for name, text in texts.items():
                archive.writestr(f"set-a/{name}.txt", text)
    else:
        (folder / "set-a").mkdir()
        for name, text in texts.items():
            (folder / "set-a" / f"{name}.txt").write_text(text)
    if kind == "tar":
        with tarfile.open(folder / "set-a.tar.gz", "w:gz") as archive:
            archive.add(folder / "set-a", "set-a")
        for path in (folder / "set-a").iterdir():
            path.unlink()
        (folder / "set-a").rmdir()
    outcomes(folder, list(texts))


def row(dataset: Dataset, modality: str, sample: str) -> dict[str, float]:
    found = next(each for each in dataset.modalities if each.name == modality)
    place = dataset.ids[found.rows].tolist().index(sample)
    return dict(zip(found.columns, found.values[place].tolist(), strict=True))


def refusal(folder: Path) -> str:
    before = sorted(folder.parent.iterdir())
    with pytest.raises(DataError) as caught:
        prepare_physionet2012(str(folder), str(folder.with_name("packed")))
    assert sorted(folder.parent.iterdir()) == before
    return str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_variables_are_summed_up_by_modality(tmp_path: Path, kind: str) -> None:
    layout(tmp_path / "p", kind)
    made = prepare_physionet2012(str(tmp_path / "p"), str(tmp_path / "packed"))
    dataset = load_dataset(str(tmp_path / "packed"))
    assert made.samples == len(dataset.ids) == 12
    assert made.modalities == {
        "admission": 12,
        "blood_gas": 4,
        "chemistry": 4,
        "vitals": 12,
        "ventilation": 4,
    }
    assert "cardiac: no sample has a value, the modality is left out." in made.notes.warnings
    vitals = row(dataset, "vitals", "132540")
    heart = [vitals[f"HR_{what}"] for what in ("first", "last", "lowest", "highest", "median")]
    assert heart == [73, 80, 73, 91, 80]
    assert np.isnan(vitals["GCS_first"])
    admission = row(dataset, "admission", "132540")
    assert (admission["Age"], admission["Gender"], admission["CSRU"], admission["CCU"]) == (
        51,
        0,
        1,
        0,
    )
    assert np.isnan(admission["Height"])
    assert np.isnan(admission["Weight"])
    assert admission["Weight_last"] == pytest.approx(81.6)
    ventilation = row(dataset, "ventilation", "132539")
    assert list(ventilation.values()) == [2.5, 10, 2]
    assert "Variables that are not known and not used: Troponin 4." in made.notes.warnings
    assert dataset.label is not None
    assert dataset.label.classes == ("survived", "died")
    assert dataset.label.values.tolist() == [0, 1] * 6
    assert dataset.licence.startswith("ODC-BY")


def test_all_forms_of_the_download_give_one_data_set(tmp_path: Path) -> None:
    prints = set()
    for kind in ("zip", "tar", "folder"):
        layout(tmp_path / kind, kind)
        prepare_physionet2012(str(tmp_path / kind), str(tmp_path / f"{kind}.packed"))
        prints.add(load_dataset(str(tmp_path / f"{kind}.packed")).fingerprint)
    assert len(prints) == 1


def test_every_variable_is_in_one_modality() -> None:
    names = [name for variables in MEASURED.values() for name in variables]
    assert len(names) == len(set(names)) == 35  # and Weight and MechVent


def test_outcomes_of_others_and_patients_without(tmp_path: Path) -> None:
    layout(tmp_path / "p", "zip")
    outcomes(tmp_path / "p", [*list(records(12))[1:], "99"])
    made = prepare_physionet2012(str(tmp_path / "p"), str(tmp_path / "packed"))
    assert "1 outcomes are of nobody in the sets: '99'." in made.notes.warnings
    assert "1 patients have no outcome: '132539'." in made.notes.warnings
    (tmp_path / "p" / "Outcomes-a.txt").unlink()
    made = prepare_physionet2012(str(tmp_path / "p"), str(tmp_path / "again"))
    assert any("put Outcomes-a.txt" in warning for warning in made.notes.warnings)


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    assert "should hold one of set-a.zip" in refusal(folder)
    layout(folder, "zip")
    whole = (folder / "set-a.zip").read_bytes()
    for cut in (0, 30, len(whole) // 2, len(whole) - 1):
        (folder / "set-a.zip").write_bytes(whole[:cut])
        assert "cannot be unpacked" in refusal(folder)
    (folder / "set-a.zip").unlink()
    layout(folder, "folder")
    record = folder / "set-a" / "132540.txt"
    text = record.read_text()
    for wrong, told in (
        (text[:-3], "ends inside a line"),
        ("", "does not begin with"),
        (text.replace("00:07,HR,73", "00:07,HR,fast"), "line 8: '00:07,HR,fast' cannot be read"),
        (text.replace("00:07,HR,73", "00:07,HR,inf"), "its value is not finite"),
        (text.replace("00:07,HR,73", "later,HR,73"), "it is not a time, a variable and a value"),
        (text.replace("00:00,RecordID,132540\n", ""), "has no RecordID"),
        (text.replace("132540", "132539"), "record 132539 is there twice"),
    ):
        record.write_text(wrong)
        assert told in refusal(folder)
    record.write_text(text)
    (folder / "Outcomes-a.txt").write_text("RecordID,SOFA\n132539,1\n")
    assert "should have the columns RecordID and In-hospital_death" in refusal(folder)
