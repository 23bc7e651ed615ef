"""A sweep as a submitted job: `ray start --head`, then `ray job submit --working-dir .`."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ray.job_submission import JobSubmissionClient

from benchmarks.head import Head

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
GRID = "--models mca zorro --sparsities 0.4 --seeds 0 1 --modalities zer mor --name jobs"


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with Head(cpus=2) as made:
        yield made


class Job:
    """The command as a person gives it, with places that outlive the job."""

    def __init__(self, head: Head, folder: Path) -> None:
        self.head, self.folder = head, folder

    def submit(self, arguments: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.head.run(*self._command(arguments, *options), cwd=ROOT, timeout=240)

    def start(self, arguments: str, name: str) -> None:
        said = self.submit(arguments, "--no-wait", "--submission-id", name)
        assert said.returncode == 0, said.stdout + said.stderr

    def status(self, name: str) -> str:
        return str(JobSubmissionClient(self.head.jobs).get_job_status(name).value)

    def stop(self, name: str) -> None:
        self.head.run("ray", "job", "stop", "--address", self.head.jobs, name, timeout=60)

    def results(self) -> dict[str, dict[str, float]]:
        return {
            file.parent.name: json.loads(file.read_text())["metrics"]
            for file in (self.folder / "storage").glob("*/result.json")
        }

    def _command(self, arguments: str, *options: str) -> list[str]:
        places = (
            f"--storage {self.folder}/storage --results-dir {self.folder}/results "
            f"--tracking-uri sqlite:///{self.folder}/mlflow.db"
        )
        return [
            "ray", "job", "submit", "--address", self.head.jobs, "--working-dir", ".", *options,
            "--", "python", "sweeps/sparsity_grid.py", *GRID.split(), *arguments.split(), *places.split(),
        ]  # fmt: skip


@pytest.fixture
def job(head: Head, tmp_path: Path) -> Job:
    return Job(head, tmp_path)


def test_it_finds_its_cluster_and_says_each_cell_on_a_line(job: Job) -> None:
    said = job.submit("--epochs 1")
    assert said.returncode == 0, said.stdout + said.stderr
    assert (
        len(re.findall(r"^\[\d/4\] (?:mca|zorro) S=0.4 seed=\d finished", said.stdout, re.M)) == 4
    )
    assert len(job.results()) == 4
    assert (job.folder / "results/jobs/report.html").exists()
    assert "cluster" in said.stdout  # and not a Ray of its own, beside the one it was submitted to
    again = job.submit("--epochs 1")
    assert again.returncode == 0 and "4 finished, 0 to train" in again.stdout


def test_its_status_says_that_cells_failed(job: Job) -> None:
    said = job.submit("--epochs 1 --learning-rate 1e30")
    assert said.returncode == 1
    assert "failed" in said.stdout


def test_what_was_refused_is_told_with_the_remedy(job: Job) -> None:
    said = job.submit("--epochs 0")
    assert said.returncode == 1 and "--epochs" in said.stdout


def test_places_in_the_jobs_copy_of_the_working_directory_are_refused(head: Head) -> None:
    command = ("ray", "job", "submit", "--address", head.jobs, "--working-dir", ".", "--")
    said = head.run(
        *command, "python", "sweeps/sparsity_grid.py", *GRID.split(), cwd=ROOT, timeout=120
    )
    assert said.returncode == 1
    assert "which Ray removes after the job" in said.stdout + said.stderr


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again(job: Job) -> None:
    arguments = "--epochs 40 --checkpoint-every-s 0"
    job.start(arguments, "first")
    until = time.monotonic() + 120
    while not list((job.folder / "storage").glob("*/epoch_*/state.json")):
        assert time.monotonic() < until and job.status("first") in ("PENDING", "RUNNING")
        time.sleep(0.2)
    job.stop("first")
    assert job.status("first") == "STOPPED"
    reached = max(
        int(folder.name.split("_")[1]) for folder in (job.folder / "storage").glob("*/epoch_*")
    )
    assert reached > 0 and len(job.results()) < 4
    again = job.submit(arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(job.results()) == 4
    with closing(sqlite3.connect(job.folder / "mlflow.db")) as ledger:
        counts = ledger.execute(
            "SELECT m.run_uuid, count(*), count(DISTINCT step) FROM metrics m JOIN tags t "
            "ON t.run_uuid = m.run_uuid AND t.key = 'raymm.kind' AND t.value = 'cell' "
            "WHERE m.key = 'loss/val' GROUP BY m.run_uuid"
        ).fetchall()
    assert [row[1:] for row in counts] == [(40, 40)] * 4  # each epoch once


def test_nothing_of_it_is_left_running(head: Head) -> None:
    until = time.monotonic() + 60
    left = [""]
    while left and time.monotonic() < until:
        left = [name for name in head.processes().values() if "sparsity_grid" in name]
        time.sleep(0.5)
    assert not left
    assert os.getpid() not in head.processes()
