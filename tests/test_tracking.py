"""The MLflow store: registers written once, incompatible ledgers, stores that fail."""

from __future__ import annotations

import multiprocessing
import socket
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from raymm.command import shareable
from raymm.config import flat
from raymm.errors import TrackingError
from raymm.storage.address import without_credentials
from raymm.sweep.grid import GridSettings
from raymm.tracking import PARTS, Store, StoreAwayError, ui_command

WRITERS, REGISTERS = 4, 150


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    Store(uri).open()
    return uri


def write(uri: str, name: str, go: object, told: object) -> None:
    """A process that makes the ledger together with others, and writes what they write too."""
    store = Store(uri)
    go.wait()  # type: ignore[attr-defined]
    store.open()
    values = {f"{number}": name for number in range(REGISTERS)}
    told.put((name, store.write_once(values)))  # type: ignore[attr-defined]


def test_of_those_who_write_a_register_one_is_first_and_all_are_told_who(tmp_path: Path) -> None:
    """Processes that begin at once, on a database that does not exist yet."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    context = multiprocessing.get_context("spawn")
    go, told = context.Barrier(WRITERS), context.Queue()
    writers = [context.Process(target=write, args=(uri, str(n), go, told)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    answers = [told.get(timeout=120)[1] for _ in writers]
    for writer in writers:
        writer.join()
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == REGISTERS
    assert set(answers[0].values()) <= {str(n) for n in range(WRITERS)}
    experiments = MlflowClient(uri).search_experiments()
    assert {each.name for each in experiments} >= {"raymm", "raymm-drivers"}
    made = MlflowClient(uri).search_runs([each.experiment_id for each in experiments])
    names = [run.info.run_name for run in made]  # others that were made for the same are deleted
    assert len(set(names)) == len(names) == 1 + PARTS


def test_a_written_register_stays_as_it_is(uri: str) -> None:
    store = Store(uri)
    store.open()
    assert store.write_once({"a": "1", "b": "1"}) == {"a": "1", "b": "1"}
    assert Store(uri).registers()["a"] == "1"
    assert store.write_once({"b": "2", "c": "2"}) == {"b": "1", "c": "2"}
    with pytest.raises(TrackingError, match="cannot be used"):
        store.write_once({"not a name: %": "1"})


def test_registers_of_some_names_are_read_without_those_of_all(uri: str) -> None:
    store = Store(uri)
    store.open()
    values = {f"key{n}/owner/1": str(n) for n in range(2 * PARTS)}
    assert store.write_once(values) == values
    asked = Store(uri).registers(["key3", "key4", "unheard-of"])
    assert values.items() >= asked.items() >= {("key3/owner/1", "3"), ("key4/owner/1", "4")}
    assert len(asked) < len(values) // 2
    assert Store(uri).registers().items() >= values.items()


@pytest.mark.parametrize("tags", [{}, {"raymm.layout": "999"}])
def test_a_ledger_of_an_incompatible_version_is_said(
    uri: str, tmp_path: Path, tags: dict[str, str]
) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(Path(uri.removeprefix("sqlite:///")).read_bytes())
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.get_experiment_by_name("raymm")
    assert experiment is not None
    client.delete_experiment_tag(experiment.experiment_id, "raymm.layout")
    for name, value in tags.items():
        client.set_experiment_tag(experiment.experiment_id, name, value)
    theirs = tags.get("raymm.layout", "1")
    with pytest.raises(TrackingError, match=rf"incompatible.*layout {theirs};.*--tracking-uri"):
        Store(f"sqlite:///{file}").runs("")


def test_a_deleted_ledger_is_said_with_how_to_bring_it_back(uri: str, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(Path(uri.removeprefix("sqlite:///")).read_bytes())
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.get_experiment_by_name("raymm")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(TrackingError, match=f"--experiment-id {experiment.experiment_id}"):
        Store(f"sqlite:///{file}").open()


def test_to_look_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    store = Store(f"sqlite:///{file}")
    assert not store.look() and store.runs("") == [] and not file.exists()
    file.touch()
    assert not store.look() and not file.read_bytes()


@pytest.mark.parametrize("listening", [False, True])
def test_a_server_that_does_not_answer_is_found_within_seconds(listening: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:  # takes the connection and never says a word
            server.listen()
        started = time.monotonic()
        port = server.getsockname()[1]
        with pytest.raises(TrackingError, match=r"does not answer.*--tracking-uri"):
            Store(f"http://127.0.0.1:{port}")
        assert time.monotonic() - started < 8


def test_a_store_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for where in (blocked, f"{blocked}/mlflow.db"):
        with pytest.raises(TrackingError, match=r"cannot be used.*--tracking-uri"):
            Store(f"sqlite:///{where}").open()


def test_credentials_leave_an_address_and_nothing_else_does() -> None:
    assert without_credentials("postgresql://u:p@host/db") == "postgresql://host/db"
    assert without_credentials("https://host/a@b") == "https://host/a@b"
    assert without_credentials("plain") == "plain"
    assert without_credentials("http://u:p@ss@host") == "http://host"


@pytest.mark.parametrize("port", ["", ":1"])
def test_a_password_in_the_address_is_not_told(port: str) -> None:
    with pytest.raises(TrackingError, match="does not answer") as caught:
        Store(f"http://user:secret@127.0.0.1{port}")
    assert "secret" not in str(caught.value)


def test_the_way_to_what_was_recorded_is_told_without_password() -> None:
    assert ui_command("https://user:secret@host/x") == "https://host/x"
    assert ui_command("postgresql://user:secret@host/x").endswith(" postgresql://host/x")


def test_a_report_shows_addresses_without_passwords() -> None:
    shown = shareable(GridSettings(tracking_uri="https://user:secret@host/x", seeds=(3,)))
    assert shown["tracking_uri"] == "https://host/x"
    assert shown["seeds"] == (3,)


def test_a_database_without_its_driver_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TrackingError, match="driver") as caught:
        Store("postgresql://user:secret@127.0.0.1:1/runs").look()
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_written_is_known_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(TrackingError, match=r"file/mlflow.db cannot be used.*--tracking-uri"):
        store.touch()


def test_a_store_that_is_gone_may_be_back(uri: str, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(Path(uri.removeprefix("sqlite:///")).read_bytes())
    store = Store(f"sqlite:///{file}")
    assert store.look()
    MlflowClient(f"sqlite:///{file}")
    file.rename(tmp_path / "away.db")
    with pytest.raises(StoreAwayError):
        store.create("run", {})


def test_nested_settings_become_flat_names() -> None:
    assert dict(flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3})) == {"a.b": 1, "a.c.d": 2, "e": 3}
