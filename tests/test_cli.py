from __future__ import annotations

from pathlib import Path

import pytest

from raymm.cli import main
from tests.data.sources import folders


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_data_check_of_a_good_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", folders.two_views(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("Usable.\n")


def test_data_check_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--modalities", "video", "audio", "--label", "kind"]
    assert main(["data", "check", folders.two_views(tmp_path), *arguments]) == 0
    out = capsys.readouterr().out
    assert out.index("  video") < out.index("  audio") and "Label 'kind'" in out


def test_data_check_of_a_folder_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = folders.two_views(tmp_path)
    (tmp_path / "audio.parquet").write_bytes(b"PAR1 and nothing more")
    assert main(["data", "check", address]) == 1
    out = capsys.readouterr().out
    assert "Not usable: 1 error to mend." in out and "  video" in out


def test_mistakes_are_told_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "digts"]) == 1
    said = capsys.readouterr()
    assert said.err == (
        "error There is neither a built-in data set nor a folder 'digts': did you mean 'digits'? "
        "Known: digits.\n"
    )
    assert said.out == ""


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "--modalities" in out and "--label" in out and "Exits with status 1" in out
