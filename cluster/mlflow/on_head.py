"""What the head of cluster/aws.yaml does for MLflow at `ray up`, in the container that Ray makes.

    python cluster/mlflow/on_head.py passwords --database-secret ... --admin-secret ... --host ...
    python cluster/mlflow/on_head.py wait

The first fetches the passwords that cluster/aws-base.yaml had AWS make, and leaves them in two files that
only their owner can read: the variables of MLflow's server, and an account that every driver on the head
has without being told. The second comes back when the server answers, and fails if it does not.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import tyro

ADMIN = "admin"
SERVER_FILE = Path("/var/lib/raymm/mlflow/server.env")
"""Of the machine, not of the container: Docker reads it."""
ACCOUNT_FILE = Path("~/.mlflow/credentials")
"""Where MLflow looks for an account."""


def fetch_passwords(
    *,
    database_secret: str,
    admin_secret: str,
    host: str,
    bucket: str,
    server_file: Path = SERVER_FILE,
    account_file: Path = ACCOUNT_FILE,
) -> None:
    """Fetch the passwords and write the two files.

    Args:
        database_secret: name of the database's password in AWS Secrets Manager.
        admin_secret: that of the password of MLflow's first account.
        host: of the database.
        bucket: for artifacts.
    """
    client: Any = boto3.client("secretsmanager")
    database, admin = (
        json.loads(client.get_secret_value(SecretId=each)["SecretString"])["password"]
        for each in (database_secret, admin_secret)
    )
    variables = {
        "DATABASE": f"postgresql+psycopg2://mlflow:{database}@{host}/mlflow",
        "PGSSLMODE": "require",
        "ARTIFACTS": f"s3://{bucket}/mlflow",
        "AWS_DEFAULT_REGION": client.meta.region_name,
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
    }
    _write(server_file, [f"{name}={value}" for name, value in variables.items()])
    account = [f"mlflow_tracking_username = {ADMIN}", f"mlflow_tracking_password = {admin}"]
    _write(account_file.expanduser(), ["[mlflow]", *account])


def wait_for_server(*, address: str = "http://127.0.0.1:5000", most_s: float = 300.0) -> None:
    """Wait until MLflow's server answers.

    Args:
        most_s: seconds. The first start makes the tables in the database.
    """
    until = time.monotonic() + most_s
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=10).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise SystemExit(
                    f"MLflow's server does not answer at {address} after {most_s:.0f} s ({error}). See "
                    "what it says: ray exec my-aws.yaml 'docker logs --tail 50 mlflow'"
                ) from error
            time.sleep(2)


def _write(file: Path, lines: list[str]) -> None:
    """Write a file that only its owner reads, at no time another."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = file.with_name(f"{file.name}.partial")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write("\n".join([*lines, ""]))
    aside.replace(file)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"passwords": fetch_passwords, "wait": wait_for_server})
