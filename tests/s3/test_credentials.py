"""Wrong keys: what is said by each command that takes an address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.s3.servers import ROOT, Server, changed, running

pytestmark = pytest.mark.s3
GRID = str(ROOT / "sweeps" / "sparsity_grid.py")
COMMANDS = {
    "check": ["-m", "raymm.cli", "data", "check", "s3://data/set"],
    "pack": ["-m", "raymm.cli", "data", "pack", "digits", "--to", "s3://data/set"],
    "report": ["-m", "raymm.cli", "report", "x", "--results-dir", "s3://data/results"],
    "dataset": [GRID, "--dataset", "s3://data/set"],
    "results": [GRID, "--results-dir", "s3://data/results"],
    "storage": [GRID, "--storage", "s3://data/cells"],
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """rclone's server, which looks at keys; moto's takes any."""
    with running("rclone", tmp_path_factory.mktemp("strict")) as server:
        server.make_bucket("data")
        yield server


def said(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env={**environment, "PYTHONPATH": str(ROOT), "RAYMM_CACHE": str(folder / "cache")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr.startswith("error ") and "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("name", "variable"),
    [*((name, "AWS_ACCESS_KEY_ID") for name in COMMANDS), ("check", "AWS_SECRET_ACCESS_KEY")],
)
def test_a_wrong_key(strict: Server, name: str, variable: str, tmp_path: Path) -> None:
    environment = changed({**strict.environment(), variable: "nobodys"})
    error = said(COMMANDS[name], tmp_path, environment)
    assert "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in error
    assert strict.endpoint in error


def test_no_key_at_all(strict: Server, tmp_path: Path) -> None:
    own = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    environment = changed({**strict.environment(), **own})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    error = said(COMMANDS["check"], tmp_path, environment)
    assert "Unable to locate credentials" in error and "Check AWS_ACCESS_KEY_ID" in error
