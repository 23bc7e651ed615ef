"""The tracking server is away for a while: a real one, killed and started again."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raymm.sweep.settle import away_note, settle
from tests.sweep.ledgers import CURVE, METRICS, cell, opened, points, result, runs, train

START_S = 90.0


class Server:
    """An MLflow server on the loopback interface, with a database in a file."""

    def __init__(self, folder: Path, database: bytes) -> None:
        (folder / "server.db").write_bytes(database)
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = (
            f"--host 127.0.0.1 --port {self.port} --workers 1 "
            f"--backend-store-uri sqlite:///{self.folder}/server.db"
        )
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *arguments.split()],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True, **quiet,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def shared(empty_store: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), empty_store)
    yield server
    server.kill()


@pytest.fixture
def server(shared: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that runs; each test has cells of its own on it."""
    monkeypatch.chdir(tmp_path)
    if shared.process is None:
        shared.start()
    return shared


def leave_unsent(uri: str, folder: Path, away: Any, told: Any) -> None:
    """A driver that goes on while the server is away, and is killed then."""
    os.chdir(folder)
    ledger = opened(uri)
    ledger.start(cell(2))
    ledger.log_epochs("key2", CURVE[:1])
    assert ledger.flush(20)
    told.set()
    away.wait()
    ledger.log_epochs("key2", CURVE)
    ledger.end(result(cell(2)))
    assert not ledger.flush(1)
    told.set()
    time.sleep(1000)


def test_what_happens_while_the_server_is_away_is_recorded_later_and_once(
    server: Server, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    away, told = context.Event(), context.Event()
    other = context.Process(target=leave_unsent, args=(server.uri, tmp_path, away, told))
    other.start()
    assert told.wait(60)
    told.clear()
    console = Console(width=80)
    with opened(server.uri) as ledger:
        assert ledger.claim([cell(1), cell(2)]).mine == [cell(1)]
        ledger.start(cell(1))
        ledger.log_epochs("key1", CURVE[:1])
        assert ledger.flush(10) and away_note(ledger) == ""

        server.kill()
        away.set()
        ledger.log_epochs("key1", CURVE)
        ledger.end(result(cell(1)))
        assert not ledger.flush(1)
        assert "2 record(s) are kept" in away_note(ledger)
        file = ledger.unsent_file
        assert file is not None and file.exists()
        assert told.wait(60)
        other.kill()
        other.join()

        server.start()
        assert ledger.flush(30) and not file.exists()
        granted = ledger.claim([cell(2)])
        assert not granted.mine and granted.ended["key2"].curve == CURVE
        ledger.close_sweep("FINISHED")
        with console.capture() as said:
            assert settle(ledger, console)
        assert said.get() == ""
    assert list(tmp_path.glob("unsent*")) == []
    database = f"sqlite:///{server.folder}/server.db"
    for run in runs(database, "cell"):
        assert run.info.status == "FINISHED"
        assert points(database, run) == [(1, 2.0), (2, 1.0)]
        assert points(database, run, "probe/auprc") == [(0, METRICS["probe/auprc"])]
    assert len(runs(database, "cell")) == 2


def test_a_server_that_never_comes_back_is_waited_for_and_said(
    server: Server, tmp_path: Path
) -> None:
    console = Console(width=300)
    with opened(server.uri) as ledger:
        ledger.claim([cell(3)])
        assert ledger.flush(10)
        server.kill()
        train(ledger, cell(3))
        ledger.close_sweep("FINISHED")
        started = time.monotonic()
        with console.capture() as said:
            assert not settle(ledger, console, patience_s=3)
        assert 3 <= time.monotonic() - started < 15
    text = " ".join(said.get().split())
    assert "record(s) to send, waiting" in text
    (file,) = tmp_path.glob("unsent-*.jsonl")
    assert f"what it lacks is kept in {file}" in text
    assert len(file.read_text().splitlines()) == 4
