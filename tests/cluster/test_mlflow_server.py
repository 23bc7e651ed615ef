"""The ledger on a real MLflow server: PostgreSQL, artifacts on S3, accounts, several writers."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.mlflow_server import (
    ADMIN,
    DATABASE_PASSWORD,
    PASSWORD,
    mlflow_server,
    postgres,
)
from tests.s3.servers import SECRET, running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-mlflow/bin/python"
GRID = "--models mca --sparsities 0.4 --seeds 0 1 --modalities zer mor --epochs 1 --log-models none"


@dataclass(frozen=True)
class Servers:
    """Servers that run, and the variables that lead to them."""

    folder: Path
    tracking: str
    storage: str
    ray: Path
    environment: Mapping[str, str]

    def start(self, name: str, **changed: str) -> subprocess.CompletedProcess[str]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        command = [
            sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), *GRID.split(), "--name", "servers",
            "--tracking-uri", self.tracking, "--storage", self.storage,
        ]  # fmt: skip
        # Ray's sockets must have short names.
        environment = {
            **os.environ, **self.environment, "RAY_TMPDIR": str(self.ray / name), **changed,
        }  # fmt: skip
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    assert PYTHON.exists(), f"{PYTHON} is not there: run `make test-cluster`"
    with running("moto", folder) as s3, postgres(folder) as database:
        bucket, leads = s3.make_bucket("raymm"), s3.environment()
        # MLflow takes the endpoint by a name of its own.
        more = {**leads, "MLFLOW_S3_ENDPOINT_URL": leads["AWS_ENDPOINT_URL"]}
        with mlflow_server(folder, database, f"{bucket}/mlflow", more, PYTHON) as address:
            account = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
            with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as ray:
                yield Servers(folder, address, f"{bucket}/cells", Path(ray), {**leads, **account})


def test_several_drivers_write_at_once(servers: Servers) -> None:
    with ThreadPoolExecutor(2) as two:
        first, second = two.map(servers.start, ("one", "two"))
    for said in (first, second):
        assert said.returncode == 0, said.stdout + said.stderr
    again = servers.start("one")
    assert "2 finished, 0 to train" in again.stdout
    trained = sum(said.stdout.count(" 0 finished, 2 to train") for said in (first, second))
    assert trained >= 1


def test_who_has_no_account_is_kept_out(servers: Servers) -> None:
    said = servers.start("three", MLFLOW_TRACKING_PASSWORD="wrong-password-of-the-tests")
    assert said.returncode == 2
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said.stderr
    assert "wrong-password-of-the-tests" not in said.stdout + said.stderr
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(
            f"{servers.tracking}/api/2.0/mlflow/experiments/search?max_results=1"
        )


def test_the_doctor_finds_it_in_order(servers: Servers) -> None:
    command = [sys.executable, "-m", "raymm.cli", "doctor", "--tracking-uri", servers.tracking,
               "--storage", servers.storage]  # fmt: skip
    environment = {**os.environ, **servers.environment}
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "asks for a user and a password" in said.stdout, said.stdout + said.stderr
    assert f"can write {servers.storage}" in said.stdout


def test_artifacts_are_in_the_bucket(servers: Servers) -> None:
    from s3fs import S3FileSystem

    leads = servers.environment
    files = S3FileSystem(
        endpoint_url=leads["AWS_ENDPOINT_URL"],
        key=leads["AWS_ACCESS_KEY_ID"],
        secret=leads["AWS_SECRET_ACCESS_KEY"],
        skip_instance_cache=True,
    )
    assert files.find("raymm/cells")
    assert files.find("raymm/mlflow")


def test_no_secret_is_in_what_the_drivers_left(servers: Servers) -> None:
    basic = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode())
    secrets = [PASSWORD.encode(), DATABASE_PASSWORD.encode(), SECRET.encode(), basic]
    files = [
        file
        for name in ("one", "two", "three")
        for folder in (servers.folder / name, servers.ray / name)
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    ]
    assert any(file.suffix == ".html" for file in files)
    leaks = [file for file in files if any(secret in file.read_bytes() for secret in secrets)]
    assert not leaks
