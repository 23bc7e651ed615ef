"""A data set's card: right numbers, and a picture that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raymm.cli import main
from raymm.data.card import write_card
from raymm.data.check import check_dataset
from raymm.data.upset import combinations, upset_plot
from raymm.errors import DataError
from tests.data.sources import folders
from tests.data.sources.mosei import files

PNG = b"\x89PNG\r\n\x1a\n"


def card(tmp_path: Path, address: str, name: str = "card.md") -> str:
    written = write_card(check_dataset(address), str(tmp_path / name))
    assert all(path.is_file() for path in written)
    return (tmp_path / name).read_text()


def test_combinations_are_counted_the_most_frequent_first() -> None:
    presence = np.array([[1, 0], [1, 1], [1, 1], [0, 1], [1, 1], [1, 0]], bool)
    rows, counts = combinations(presence)
    assert rows.tolist() == [[True, True], [True, False], [False, True]]
    assert counts.tolist() == [3, 2, 1]
    rows, counts = combinations(np.array([[1, 0], [1, 1]], bool))
    assert rows.tolist() == [[True, True], [True, False]]  # the larger of two as frequent


def test_the_card_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    address = folders.two_views(folder)
    (folder / "dataset.toml").write_text('licence = "CC BY 4.0"\n')
    text = card(tmp_path, address)
    assert "| samples | 40 |" in text
    assert "| licence | CC BY 4.0 |" in text
    assert f"| fingerprint | {check_dataset(address).dataset.fingerprint} |" in text
    assert "| audio | table | 3 columns | 35 | 12.5 % | 0.0 % |" in text
    assert "| 30 | 75.0 % | audio, video |" in text
    assert "| 5 | 12.5 % | audio |" in text
    assert "| natural sparsity | 12.5 % |" in text
    assert "| a | 20 (50.0 %) |" in text
    assert "![Samples by the modalities they have](card.png)" in text
    assert (tmp_path / "card.png").read_bytes().startswith(PNG)


def test_the_card_as_a_page_holds_its_picture(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    text = card(tmp_path, folders.two_views(folder), "card.html")
    assert 'src="data:image/png;base64,' in text
    assert "<td>licence</td><td>not stated</td>" in text
    assert not list(tmp_path.glob("*.png"))


def test_the_card_of_a_prepared_set_tells_how_it_was_made(tmp_path: Path) -> None:
    files.aligned(tmp_path / "aligned")
    to = str(tmp_path / "packed")
    assert main(["data", "prepare", "mosei", "--from", str(tmp_path / "aligned"), "--to", to]) == 0
    text = card(tmp_path, to)
    assert "## How it was prepared" in text
    assert "- COVAREP: 0 sequences were cut to their first 1,500 vectors" in text
    assert "| COVAREP | sequence | 1 to 6 (median 3.5) vectors of 74 | 12 | 0.0 % | 0.0 % |" in text
    assert "## Label sentiment_01" in text


def test_many_combinations_and_a_single_modality_can_be_drawn() -> None:
    presence = np.random.default_rng(0).random((500, 8)) < 0.6
    presence[:, 0] = True
    assert upset_plot([f"m{number}" for number in range(8)], presence).startswith(PNG)
    assert upset_plot(["only"], np.ones((3, 1), bool)).startswith(PNG)


def test_a_card_of_another_kind_or_nowhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    survey = check_dataset(folders.two_views(folder))
    with pytest.raises(DataError, match=r"ends in \.md or \.html"):
        write_card(survey, str(tmp_path / "card.pdf"))
    with pytest.raises(DataError, match="cannot be written"):
        write_card(survey, str(tmp_path / "no" / "card.md"))


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    address = folders.two_views(folder)
    assert main(["data", "check", address, "--card", str(tmp_path / "c.html")]) == 0
    assert f"Card written to {tmp_path / 'c.html'}" in capsys.readouterr().out
