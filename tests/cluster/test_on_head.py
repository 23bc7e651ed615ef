"""What the head does for MLflow at `ray up`: passwords from a real server of Amazon's protocol (moto's),
then MLflow on PostgreSQL with what was written, and a driver that was told nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from benchmarks.mlflow_server import (
    ADMIN,
    DATABASE_PASSWORD,
    PASSWORD,
    mlflow_server,
    postgres,
)
from tests.s3.servers import free_port, running

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "cluster/mlflow/on_head.py"
SERVERS_PYTHON = ROOT / ".venv-mlflow/bin/python"
EXPERIMENTS = (
    "import mlflow, sys; print(len(mlflow.MlflowClient(sys.argv[1]).search_experiments()))"
)


def on_head(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_server_that_does_not_answer_is_said() -> None:
    said = on_head("wait", "--address", f"http://127.0.0.1:{free_port()}", "--most-s", "0.1")
    assert said.returncode == 1
    assert "docker logs" in said.stderr and "Traceback" not in said.stderr


@dataclass(frozen=True)
class Ledger:
    """A server that was started with what the head wrote.

    Attributes:
        home: folder of a person, in which MLflow looks for an account.
        variables: what the head wrote for the server.
    """

    address: str
    home: Path
    variables: dict[str, str]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    assert SERVERS_PYTHON.exists(), f"{SERVERS_PYTHON} is not there: run `make test-cluster`"
    folder = tmp_path_factory.mktemp("head")
    file, home = folder / "mlflow/server.env", folder / "home"
    with running("moto", folder) as amazon, postgres(folder) as database:
        leads = amazon.environment()
        client = boto3.client(
            "secretsmanager", endpoint_url=leads["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip
        for name, password in (("database", DATABASE_PASSWORD), ("admin", PASSWORD)):
            client.create_secret(Name=name, SecretString=json.dumps({"password": password}))
        said = on_head(
            "passwords", "--database-secret", "database", "--admin-secret", "admin",
            "--host", urlsplit(database).netloc.partition("@")[2], "--server-file", str(file),
            "--bucket", amazon.make_bucket("raymm").removeprefix("s3://"), **leads, HOME=str(home),
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        assert not {PASSWORD, DATABASE_PASSWORD} & set((said.stdout + said.stderr).split())
        variables = dict(line.split("=", 1) for line in file.read_text().splitlines())
        more = {**leads, "MLFLOW_S3_ENDPOINT_URL": leads["AWS_ENDPOINT_URL"]}
        address, artifacts = variables["DATABASE"], variables["ARTIFACTS"]
        with mlflow_server(folder, address, artifacts, more, SERVERS_PYTHON) as server:
            yield Ledger(server, home, variables)


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_driver_finds_its_account(ledger: Ledger) -> None:
    def ask(home: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(home), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        command = [sys.executable, "-c", EXPERIMENTS, ledger.address]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert ask(ledger.home).stdout.strip() == "1"
    assert "401" in ask(ledger.home / "of-somebody-else").stderr


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_the_head_waits_for_the_server(ledger: Ledger) -> None:
    assert on_head("wait", "--address", ledger.address).returncode == 0


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_what_was_written_is_whole_and_closed(ledger: Ledger) -> None:
    wanted = ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD", "ARTIFACTS", "PGSSLMODE")
    found = [ledger.variables[name] for name in wanted]
    assert found == [ADMIN, PASSWORD, "s3://raymm/mlflow", "require"]
    assert len(ledger.variables["MLFLOW_FLASK_SERVER_SECRET_KEY"]) == 64
    files = [ledger.home / ".mlflow/credentials", ledger.home.parent / "mlflow/server.env"]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600", "0o600"]
