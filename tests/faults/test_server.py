"""The MLflow server goes away for minutes in the middle of a sweep: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.records import check_points, runs_by_cell
from tests.sweep.test_outage import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent
AWAY_S = 150.0
EPOCHS = 6
GRID = (
    f"--models mca --sparsities 0 0.4 --seeds 0 1 --epochs {EPOCHS} --max-concurrent 1 --name out"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", b"")
    server.start()
    yield server
    server.kill()


def test_a_sweep_goes_on_without_its_server_and_records_it_all_when_that_is_back(
    tmp_path: Path, server: Server
) -> None:
    script = str(ROOT / "sweeps/sparsity_grid.py")
    command = [sys.executable, script, *GRID.split(), "--tracking-uri", server.uri]
    log = tmp_path / "said.txt"

    def said(words: str) -> bool:
        return words in log.read_text()

    with log.open("w") as file:
        driver = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "COLUMNS": "100"}, stdout=file, stderr=file
        )
    while not said("[1/4]"):
        assert driver.poll() is None, log.read_text()
        time.sleep(0.2)
    server.kill()
    killed = time.monotonic()
    while not list((tmp_path / "results/out").glob("unsent-*")):
        assert driver.poll() is None, log.read_text()
        time.sleep(0.2)
    time.sleep(max(0.0, killed + AWAY_S - time.monotonic()))
    assert len(list((tmp_path / "storage").glob("*/result.json"))) == 4, "it did not go on"
    assert driver.poll() is None and said("MLflow has not answered"), log.read_text()
    server.start()
    assert driver.wait(timeout=120) == 0, log.read_text()

    assert not list((tmp_path / "results/out").glob("unsent-*"))
    found = runs_by_cell(server.uri)
    assert [len(runs) for runs in found.values()] == [1, 1, 1, 1]
    for (run,) in found.values():
        assert run.info.status == "FINISHED"
        check_points(server.uri, run, EPOCHS)
