"""The commands of docs/data.md that use object storage, against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from raymm.cli import main
from raymm.data.packed import is_packed
from tests.data.sources import test_physionet2012
from tests.s3.conftest import lead_to
from tests.s3.servers import ROOT, Server, changed

pytestmark = pytest.mark.s3


def test_they_work_one_after_the_other(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (ROOT / "docs" / "data.md").read_text().splitlines()
    prepare, grid = [
        line.split() for line in lines if line.startswith("    ") and "s3://lab" in line
    ]
    test_physionet2012.layout(tmp_path / "challenge-2012", "zip", 60)
    server.make_bucket("lab")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "cache"))
    lead_to(monkeypatch, server.environment())
    assert main(prepare[1:]) == 0 and is_packed("s3://lab/icu.packed")
    done = subprocess.run(
        [sys.executable, str(ROOT / grid[1]), *grid[2:]],
        env=changed({"PYTHONPATH": str(ROOT)}), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s3://lab/cells" in done.stdout and not (tmp_path / "s3:").exists()
    S3FileSystem.clear_instance_cache()
