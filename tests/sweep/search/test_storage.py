"""Where studies are kept: files and databases, opened or refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from raymm.errors import SweepError
from raymm.sweep.search.storage import dashboard_command, explained, open_storage, studies_address


def test_an_address_is_a_file_of_the_results_folder_unless_given() -> None:
    assert studies_address(None, Path("results/s")) == "sqlite:///results/s/studies.db"
    assert studies_address("some/file.db", Path("r")) == "sqlite:///some/file.db"
    assert studies_address("/shared/s.journal", Path("r")) == "/shared/s.journal"
    assert studies_address("postgresql://u@h/db", Path("r")) == "postgresql://u@h/db"


def test_passwords_are_not_shown() -> None:
    assert dashboard_command("postgresql://me:secret@host/db") == (
        "optuna-dashboard postgresql://host/db"
    )


@pytest.mark.parametrize("name", ["deep/studies.db", "deep/studies.journal"])
def test_studies_outlive_who_made_them_and_nothing_is_made_by_looking(
    tmp_path: Path, name: str
) -> None:
    address = studies_address(str(tmp_path / name), tmp_path)
    assert open_storage(address, make=False) is None
    assert not list(tmp_path.iterdir())
    made = open_storage(address, make=True)
    assert made is not None
    optuna.create_study(storage=made, study_name="s").add_trial(optuna.create_trial(value=1.0))
    seen = open_storage(address, make=False)
    assert seen is not None
    assert [study.study_name for study in seen.get_all_studies()] == ["s"]
    # As the dashboard opens it.
    plain = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / name))
    ) if name.endswith("journal") else address  # fmt: skip
    assert optuna.load_study(study_name="s", storage=plain).best_value == 1.0


def test_an_empty_database_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    address = studies_address(str(tmp_path / "s.db"), tmp_path)
    assert open_storage(address, make=False) is None
    assert (tmp_path / "s.db").stat().st_size == 0


def test_what_cannot_be_opened_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "text.db").write_text("no database\n" * 100)
    for name in ("file/studies.db", "text.db"):
        with pytest.raises(SweepError, match=r"cannot be used.*Check --studies"):
            open_storage(studies_address(str(tmp_path / name), tmp_path), make=True)
    with pytest.raises(SweepError, match=r"Install the database's driver|Check --studies"):
        open_storage("mysql+pymysql://me:secret@localhost/x", make=True)


def test_a_database_that_goes_away_is_said_without_its_password() -> None:
    address = "postgresql://me:secret@h/d"
    with (
        pytest.raises(SweepError, match="postgresql://h/d cannot be used") as caught,
        explained(address),
    ):
        raise OSError(f"gone: {address}")
    assert "secret" not in str(caught.value)
