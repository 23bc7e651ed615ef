"""`cluster/mlflow/server.sh`: what it tells the server, and that it ends when a container ends."""

from __future__ import annotations

import configparser
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.head import HOST, free_ports
from benchmarks.mlflow_server import SERVER

ROOT = Path(__file__).parent.parent.parent
REAL = ROOT / ".venv-mlflow/bin"
PASSWORD = r"a|b&c%40\1$d'e"
STAND_IN = """#!/usr/bin/env bash
trap 'sleep 0.5; touch in-good-order; exit 0' TERM
cp "$MLFLOW_AUTH_CONFIG_PATH" seen.ini
printf '%s' "$MLFLOW_AUTH_CONFIG_PATH" >where
sleep 60 &
wait
"""


def start(folder: Path, programs: Path, **more: str) -> subprocess.Popen[bytes]:
    """The script as the first process of a container: nobody else gets its signals."""
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "ARTIFACTS": str(folder / "artifacts"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-tests",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "canary-of-the-admin",
        **more,
    }
    return subprocess.Popen(["bash", str(SERVER)], cwd=folder, env=environment)


def until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with a program that stands for MLflow's, which takes half a minute to start."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mlflow").write_text(STAND_IN)
    (folder / "mlflow").chmod(0o755)
    return folder


def test_any_password_reaches_the_accounts_as_it_is(tmp_path: Path, programs: Path) -> None:
    database = f"postgresql+psycopg2://mlflow:{PASSWORD}@database/mlflow"
    process = start(tmp_path, programs, DATABASE=database)
    until((tmp_path / "where").exists, 20)
    config = Path((tmp_path / "where").read_text())
    assert config.stat().st_mode & 0o777 == 0o600
    read = configparser.ConfigParser()  # as MLflow reads it
    read.read(tmp_path / "seen.ini")
    assert read["mlflow"]["database_uri"] == database
    assert read["mlflow"]["default_permission"] == "NO_PERMISSIONS"

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert (tmp_path / "in-good-order").exists()  # the script waited for it
    assert not config.exists()


def test_a_server_that_fails_is_told(tmp_path: Path, programs: Path) -> None:
    (programs / "mlflow").write_text("#!/bin/sh\nexit 7\n")
    assert start(tmp_path, programs, DATABASE="sqlite:///x").wait(timeout=20) == 7
    assert not list(tmp_path.glob("tmp.*"))


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_real_server_ends_when_its_container_does(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    process = start(
        tmp_path, REAL, DATABASE=f"sqlite:///{tmp_path}/mlflow.db", HOST=HOST, PORT=str(port)
    )

    until(lambda: answers(port) or process.poll() is not None, 240)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)  # what Docker gives a container to end by itself
    assert not answers(port)
    assert not list(tmp_path.glob("tmp.*"))


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5).close()
    except OSError:
        return False
    return True
