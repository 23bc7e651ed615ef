from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from raymm.data.check import check_dataset, print_survey, usable
from raymm.errors import DataError
from tests.data.sources import folders


def printed(address: str, **settings: str) -> str:
    out = io.StringIO()
    print_survey(check_dataset(address, **settings), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    return text


def row(text: str, first: str) -> list[str]:
    """The words of the table row that begins with `first`."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [first])


def test_a_good_folder(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    video = pd.read_parquet(tmp_path / "video.parquet")
    video.iloc[:7, 0] = np.nan
    video.iloc[3] = np.nan
    video.to_parquet(tmp_path / "video.parquet")
    (tmp_path / "dataset.toml").write_text('name = "clips"\nlicence = "CC0"\n')
    text = printed(address)
    survey = check_dataset(address)
    assert usable(survey)
    assert "clips: 39 samples, 2 modalities, CC0" in text
    assert survey.dataset.fingerprint in text
    audio = ["audio", "table", "3", "columns", "35", "10.3", "%", "0", "0.0", "%"]
    assert row(text, "audio") == audio
    video_row = ["video", "table", "4", "columns", "34", "12.8", "%", "1", "4.4", "%"]
    assert row(text, "video") == video_row
    assert "natural sparsity 11.5 %; samples by number of modalities: 1: 9, 2: 30" in text
    assert row(text, "30") == ["30", "76.9", "%", "all"]
    assert row(text, "5") == ["5", "12.8", "%", "audio"]
    assert "classification, 39 of 39 samples labelled" in text
    assert row(text, "a")[:4] == ["a", "20", "51.3", "%"]
    assert "1 of its 40 ids have none of the modalities" in " ".join(text.split())
    assert text.endswith("Usable.\n")


def test_every_problem_is_shown(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "third.csv").write_text("id,x\ns001,1\ns002\n")
    (tmp_path / "fourth.csv").write_text("id,x\ns001,1\ns001,2\n")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    text = printed(address)
    words = " ".join(text.split())
    assert "third.csv cannot be read" in words and "fourth.csv: sample ids that stand" in words
    assert "labels.parquet cannot be read" in words
    assert row(text, "audio")[1] == "table"
    assert "Not usable: 3 errors to mend." in text
    assert not usable(check_dataset(address))


def test_a_reserved_name_and_a_label_of_one_class_are_problems(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "audio.parquet").rename(tmp_path / "fusion.parquet")
    (tmp_path / "labels.parquet").unlink()
    same = pd.DataFrame({"kind": ["a"] * 40}, index=pd.Index(folders.ids(40), name="id"))
    folders.write(tmp_path, labels=same)
    words = " ".join(printed(address).split())
    assert "fusion.parquet: a modality cannot be called 'fusion'" in words
    assert "has one class only, 'a'" in words
    assert "Not usable: 2 errors to mend." in words


def test_label_columns_to_choose_from(tmp_path: Path) -> None:
    names = folders.ids(40)
    labels = pd.DataFrame({"dead": [0, 1] * 20, "days": np.linspace(0, 4, 40)}, index=names)
    address = folders.write(tmp_path, a=folders.features(names), labels=labels)
    text = printed(address)
    assert row(text, "dead") == [
        "dead",
        "classification",
        "40",
        "0:",
        "50.0",
        "%,",
        "1:",
        "50.0",
        "%",
    ]
    assert "from 0 to 4, median 2" in text
    assert "Usable once a label is chosen with --label." in text
    assert usable(check_dataset(address))
    assert "regression, 40 of 40 samples labelled" in printed(address, label="days")


def test_sequences_many_classes_and_no_label(tmp_path: Path) -> None:
    names = folders.ids(30)
    folders.write_sequences(
        tmp_path / "text.parquet",
        {name: [[float(n), 1.0]] * (n % 3 + 1) for n, name in enumerate(names)},
    )
    text = printed(str(tmp_path))
    assert row(text, "text")[:6] == ["text", "sequence", "1", "to", "3", "x"]
    assert "There is no label: probes have nothing to predict." in " ".join(text.split())
    labels = pd.DataFrame({"y": [f"k{n % 15}" for n in range(30)]}, index=names)
    folders.write(tmp_path, labels=labels)
    assert row(printed(str(tmp_path)), "3")[:2] == ["3", "more"]


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a built-in data set nor a folder"):
        check_dataset(str(tmp_path / "nowhere"))
