"""Real servers on this machine for the ledger: PostgreSQL, and MLflow with and without accounts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.head import HOST, free_ports

SERVER = Path(__file__).parent.parent / "cluster/mlflow/server.sh"
ADMIN, PASSWORD = "admin", "canary-of-the-admin-41c7"
DATABASE_PASSWORD = "canary-of-the-database-9d02"
START_S = 240.0


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL that lets in whoever has the password; yields the address of its database.

    Debian's package `postgresql` has it. It refuses to run as root, so then it runs as `postgres`.
    """
    (port,) = free_ports(1)
    data, secret = folder / "postgres", folder / "password"
    data.mkdir()
    secret.write_text(DATABASE_PASSWORD)
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        for each in (data, secret):
            shutil.chown(each, "postgres")
        for parent in (folder, *folder.parents):  # the other user must be able to come this far
            if os.stat(parent).st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    binaries = _binaries()
    made = [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "mlflow", "-A",
            "scram-sha-256", f"--pwfile={secret}"]  # fmt: skip
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/")
    run = [*as_user, str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", HOST,
           "-k", str(data)]  # fmt: skip
    with (folder / "postgres.log").open("w") as log:
        process = subprocess.Popen(run, stdout=log, stderr=log, start_new_session=True, cwd="/")
    try:
        _until_answers(port, process, folder / "postgres.log")
        environment = {**os.environ, "PGPASSWORD": DATABASE_PASSWORD}
        make = [str(binaries / "createdb"), "-h", HOST, "-p", str(port), "-U", "mlflow", "mlflow"]
        _again(lambda: subprocess.run(make, env=environment, check=True, cwd="/"))
        yield f"postgresql+psycopg2://mlflow:{DATABASE_PASSWORD}@{HOST}:{port}/mlflow"
    finally:
        os.killpg(process.pid, signal.SIGINT)  # a fast shutdown
        process.wait(timeout=60)


@contextmanager
def open_server(folder: Path, host: str = HOST) -> Iterator[str]:
    """An MLflow server that lets in whoever asks, an SQLite file behind it; its address."""
    (port,) = free_ports(1)
    environment = {
        **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # fmt: skip
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db",
        "--default-artifact-root", f"{folder}/artifacts",
    ]  # fmt: skip
    with _serving(command, environment, folder, port, host) as address:
        yield address


@contextmanager
def mlflow_server(
    folder: Path, database: str, artifacts: str, more: Mapping[str, str], python: Path
) -> Iterator[str]:
    """What cluster/mlflow starts in its container, with the same script; yields its address.

    Args:
        artifacts: address of the folder for artifacts.
        more: variables that lead to it.
        python: of an environment with `mlflow[auth]`, psycopg2 and boto3.
    """
    (port,) = free_ports(1)
    environment = {
        **os.environ, **more, "DATABASE": database, "ARTIFACTS": artifacts, "HOST": HOST,
        "PORT": str(port), "WORKERS": "1", "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-tests",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    with _serving(["bash", str(SERVER)], environment, folder, port) as address:
        yield address


@contextmanager
def _serving(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    port: int,
    host: str = HOST,
) -> Iterator[str]:
    """A server that a command starts, while it is needed; yields its address."""
    file = folder / "server.log"
    with file.open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _until_answers(port, process, file, "/health", host)
        yield f"http://{host}:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _binaries() -> Path:
    """Where PostgreSQL's programs are; Debian has them in a folder for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    if not found and named is None:
        raise RuntimeError("PostgreSQL is not here. Install it: apt-get install postgresql")
    return found[-1].parent if found else Path(str(named)).parent


def _until_answers(
    port: int,
    process: subprocess.Popen[bytes],
    log: Path,
    path: str | None = None,
    host: str = HOST,
) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            if path is None:
                socket.create_connection((host, port), timeout=1).close()
            else:
                urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-4000:]}")


def _again(call: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            call()
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
