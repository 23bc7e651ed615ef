"""Nodes, drivers and heads that go while the real command runs on a local cluster of several nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos import left_over
from benchmarks.local_cluster import LocalCluster, end, kill
from raymm.tracking import LOCAL_STORE
from tests.faults import cells
from tests.faults.records import check_points, runs_by_cell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
EPOCHS = 12
GRID = "--sparsities 0.4 --seeds 0 --modalities zer mor --checkpoint-every-s 0 --name faults"
TWO_CELLS = f"--models mca zorro --epochs {EPOCHS}"
LONG = 150
ONE_LONG_CELL = f"--models mca --epochs {LONG}"
LOSSES = 4
"""One more than the crashes after which a cell counts as failed."""


class Sweep:
    """The command, in a folder of its own."""

    def __init__(self, folder: Path, cells: str = TWO_CELLS) -> None:
        self.folder, self.cells = folder, cells
        self.log = folder / "said.txt"

    def start(self, address: str | None, *more: str) -> subprocess.Popen[str]:
        given = [*GRID.split(), *self.cells.split()]
        arguments = [*given, *(["--address", address] if address else []), *more]
        command = [sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), *arguments]
        environment = {**os.environ, "TMPDIR": str(self.folder), "COLUMNS": "100"}
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, text=True,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def folders(self) -> list[Path]:
        storage = self.folder / "storage"
        return [path for path in storage.iterdir() if path.is_dir()] if storage.exists() else []

    def checkpoints(self) -> set[Path]:
        return {path for folder in self.folders() for path in folder.glob("epoch_*/state.json")}

    def results(self) -> dict[str, dict[str, float]]:
        return {
            path.parent.name: cells.without_times(json.loads(path.read_text())["metrics"])
            for path in (self.folder / "storage").glob("*/result.json")
        }


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """What the grid's cells end with when nothing happens, on a Ray of its own."""
    sweep = Sweep(tmp_path_factory.mktemp("calm"))
    process = sweep.start(None)
    assert process.wait(timeout=200) == 0, sweep.log.read_text()
    return sweep.results()


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the sweep ended before anything could happen to it"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def check(sweep: Sweep, calm: dict[str, dict[str, float]], epochs: int = EPOCHS) -> None:
    """All cells are finished once, with the numbers of the calm run, and nothing is left over."""
    said = sweep.log.read_text()
    assert sweep.results().keys() == calm.keys(), said
    for key, metrics in sweep.results().items():
        assert metrics == pytest.approx(calm[key], abs=1e-6), said
    assert not list((sweep.folder / "storage").glob("*/epoch_*"))
    assert not [path.name for path in sweep.folder.glob("raymm-*")]
    store = f"sqlite:///{sweep.folder}/{LOCAL_STORE.removeprefix('sqlite:///')}"
    runs = runs_by_cell(store)
    assert {key: len(found) for key, found in runs.items()} == dict.fromkeys(calm, 1)
    for (run,) in runs.values():
        assert run.info.status == "FINISHED"
        check_points(store, run, epochs)


@pytest.fixture(scope="module")
def long_calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """As `calm`, of the cell that is long enough to lose its node again and again."""
    sweep = Sweep(tmp_path_factory.mktemp("calm"), ONE_LONG_CELL)
    process = sweep.start(None)
    assert process.wait(timeout=200) == 0, sweep.log.read_text()
    return sweep.results()


@pytest.mark.parametrize("notice", [False, True])
def test_a_cell_loses_its_node_more_often_than_it_may_crash_and_none_of_its_numbers(
    notice: bool, long_calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, ONE_LONG_CELL)
    with LocalCluster(nodes=1) as cluster:
        process = sweep.start(cluster.address)
        for _ in range(LOSSES):
            before = sweep.checkpoints()
            until(lambda before=before: not sweep.checkpoints() <= before, process, 90)
            node = cluster.nodes[0]
            if notice:
                cluster.give_notice(node, seconds=3)
                time.sleep(3)
            assert not sweep.results(), "the cell ended before its node could be lost"
            cluster.lose_node(node)
            cluster.add_node()
        assert process.wait(timeout=200) == 0, sweep.log.read_text()
    check(sweep, long_calm, LONG)


def test_a_killed_driver_leaves_nothing_and_the_same_command_goes_on(
    calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=2) as cluster:
        process = sweep.start(cluster.address)
        until(lambda: len(sweep.checkpoints()) > 1, process, 120)
        end(process)
        until_gone(cluster)
        second = sweep.start(cluster.address)
        assert second.wait(timeout=200) == 0, sweep.log.read_text()
        until_gone(cluster)
    check(sweep, calm)


def until_gone(cluster: LocalCluster) -> None:
    """The workers of a driver that is gone go too."""
    deadline = time.monotonic() + 40
    while cluster.trainers():
        assert time.monotonic() < deadline, cluster.all_processes()
        time.sleep(0.2)


def test_without_its_head_the_driver_says_so_and_on_another_it_goes_on(
    calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=2) as cluster:
        process = sweep.start(cluster.address)
        until(lambda: len(sweep.checkpoints()) > 1, process, 120)
        cluster.kill_head()
        assert process.wait(timeout=120) not in (0, -signal.SIGABRT), sweep.log.read_text()
    assert "same command" in sweep.log.read_text()
    with LocalCluster(nodes=2) as cluster:
        again = sweep.start(cluster.address)
        assert again.wait(timeout=200) == 0, sweep.log.read_text()
    check(sweep, calm)


def test_a_killed_dispatcher_ends_the_driver_with_a_reason(
    calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=2) as cluster:
        process = sweep.start(cluster.address)
        until(lambda: len(sweep.checkpoints()) > 1, process, 120)
        for pid in cluster.on_head("Dispatcher"):
            kill(pid)
        assert process.wait(timeout=120) != 0
        said = sweep.log.read_text()
        assert "The process that deals out the cells died" in said, said
        assert "Traceback" not in said, said
        until_gone(cluster)
        again = sweep.start(cluster.address)
        assert again.wait(timeout=200) == 0, sweep.log.read_text()
    check(sweep, calm)


def test_the_place_of_a_killed_controller_is_free_again_and_nothing_is_left_of_it(
    calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=1) as cluster:
        process = sweep.start(cluster.address)
        until(lambda: len(sweep.checkpoints()) > 1, process, 120)
        (controller,) = cluster.on_head("TrainController")
        kill(controller)
        assert process.wait(timeout=200) == 0, sweep.log.read_text()
        assert left_over(cluster) == {"processes": [], "orphans": [], "placement groups": []}
    check(sweep, calm)


def test_what_a_cluster_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=1) as cluster:
        process = sweep.start(cluster.address, "--cpus-per-worker", "8")
        assert process.wait(timeout=120) == 2
    assert "No cell can be placed" in sweep.log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [sweep.log.name]


@pytest.mark.parametrize("workers", [1, 2])
def test_with_room_for_exactly_one_cell_none_waits_for_another(
    workers: int, calm: dict[str, dict[str, float]], tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path)
    with LocalCluster(nodes=workers) as cluster:
        process = sweep.start(cluster.address, "--workers-per-cell", str(workers))
        assert process.wait(timeout=150) == 0, sweep.log.read_text()
    if workers == 1:
        check(sweep, calm)
    else:  # other sums of the same terms, which drift apart over hundreds of steps
        found = {key: metrics["loss/val"] for key, metrics in sweep.results().items()}
        wanted = {key: metrics["loss/val"] for key, metrics in calm.items()}
        assert found == pytest.approx(wanted, rel=0.05)
