"""Canaries: passwords and keys that a sweep is given turn up nowhere in what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mlflow_server import open_server

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret-5c1d",
    "AWS_SESSION_TOKEN": "canary-aws-session-9e2b",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow-password-77aa",
    "MLFLOW_TRACKING_TOKEN": "",
    "PGPASSWORD": "canary-postgres-31f0",
    "HF_TOKEN": "canary-hugging-face-0d4e",
}
IN_ADDRESS = "canary-in-address-c0de"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An MLflow server; what it keeps and says is looked through too."""
    with open_server(tmp_path) as address:
        yield address.replace("http://", f"http://me:{IN_ADDRESS}@")


@pytest.fixture
def ray() -> Iterator[Path]:
    """Where Ray has its files: its sockets must have short names."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_is_left_anywhere(server: str, fails: bool, tmp_path: Path, ray: Path) -> None:
    environment = {
        **os.environ, **CANARIES, "AWS_ACCESS_KEY_ID": "AKIACANARY0000000000",
        "RAY_TMPDIR": str(ray), "COLUMNS": "100",
    }  # fmt: skip
    command = [
        sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), "--models", "mca", "--sparsities", "0.4",
        "--seeds", "0", "--modalities", "zer", "mor", "--epochs", "1", "--name", "canaries",
        "--tracking-uri", server, *(["--learning-rate", "1e30"] if fails else []),
    ]  # fmt: skip
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.returncode == (1 if fails else 0), said.stdout + said.stderr
    status = [sys.executable, "-m", "raymm.cli", "status", "canaries", "--tracking-uri", server]
    told = subprocess.run(status, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    (tmp_path / "said.txt").write_text(said.stdout + said.stderr + told.stdout + told.stderr)

    files = [
        file
        for folder in (tmp_path, ray)
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    ]
    names = {file.name for file in files}
    assert {"server.db", "server.log", "report.html", "sweep.json", "said.txt"} <= names
    assert any(file.suffix == ".out" for file in files if ray in file.parents)  # Ray's logs
    assert ("failures.log" in names) == fails
    secrets = [each.encode() for each in (*CANARIES.values(), IN_ADDRESS) if each]
    leaks = [
        (file, secret)
        for file in files
        for content in [file.read_bytes()]
        for secret in secrets
        if secret in content
    ]
    assert not leaks
