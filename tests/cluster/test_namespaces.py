"""Hosts that are Ray nodes, one of which is cut off from all others for a minute."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions

from benchmarks.local_cluster import ENVIRONMENT
from benchmarks.mlflow_server import open_server
from tests.cluster.hosts import Host, Network, network, why_not
from tests.s3.servers import Server, running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parent.parent.parent
PORT, CUT_OFF_S = 6379, 60.0
EPOCHS, CELLS = 120, 4
GRID = (
    f"--models mca zorro --sparsities 0.4 --seeds 0 1 --modalities zer mor --epochs {EPOCHS} "
    "--checkpoint-every-s 2 --log-models none --name namespaces"
)


@dataclass
class Ray:
    """A head and two nodes, each on a host of its own."""

    folder: Path
    hosts: Network
    tracking: str
    s3: Server
    nodes: dict[str, subprocess.Popen[str]]

    @property
    def head(self) -> Host:
        return self.hosts.hosts[0]

    @property
    def others(self) -> tuple[Host, ...]:
        return self.hosts.hosts[1:]

    def start_node(self, host: Host) -> None:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats",
                   f"--node-ip-address={host.address}", "--object-store-memory=100000000"]  # fmt: skip
        if host is self.head:
            command += ["--head", f"--port={PORT}", "--num-cpus=0", "--dashboard-host=0.0.0.0",
                        "--dashboard-port=8265", f"--temp-dir={self.folder}"]  # fmt: skip
        else:
            command += [f"--address={self.head.address}:{PORT}", "--num-cpus=1"]
        with (self.folder / f"{host.name}.log").open("a") as log:
            environment = {**ENVIRONMENT, **self.s3.environment(), "PYTHONPATH": str(ROOT)}
            self.nodes[host.name] = host.start(command, environment, log)

    def living(self) -> int:
        """Nodes that live, as the head has it."""
        with suppress(OSError), socket.create_connection((self.head.address, PORT), timeout=5):
            made: Any = GlobalState
            state = made()
            options = GcsClientOptions.create(
                f"{self.head.address}:{PORT}", None, allow_cluster_id_nil=True,
                fetch_cluster_id_if_nil=False,
            )  # fmt: skip
            state._initialize_global_state(options)
            table = state.node_table()
            state.disconnect()
            return sum(node["Alive"] for node in table)
        return 0

    def wait_for(self, nodes: int, seconds: float = 240) -> None:
        """Wait for so many nodes; one that ends is started again, as hosts keep their services."""
        until = time.monotonic() + seconds
        while self.living() != nodes:
            assert time.monotonic() < until, f"{self.living()} nodes instead of {nodes}"
            for host in self.hosts.hosts:
                if host.name in self.nodes and self.nodes[host.name].poll() is not None:
                    self.start_node(host)
            time.sleep(1)

    def sweep(self) -> subprocess.Popen[str]:
        command = [
            sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), *GRID.split(),
            "--address", f"{self.head.address}:{PORT}", "--tracking-uri", self.tracking,
            "--storage", self.s3.make_bucket("namespaces"), "--results-dir", f"{self.folder}/results",
        ]  # fmt: skip
        with (self.folder / "sweep.log").open("w") as log:
            environment = {**ENVIRONMENT, **self.s3.environment(), "COLUMNS": "100"}
            return self.head.start(command, environment, log)

    def checkpoints(self) -> list[str]:
        found = self.s3.client().list_objects_v2(Bucket="namespaces", MaxKeys=1000)
        return [each["Key"] for each in found.get("Contents", ()) if "/epoch_" in each["Key"]]


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[Ray]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ns-", dir="/tmp"))  # sockets have short names
    nodes: dict[str, subprocess.Popen[str]] = {}
    try:
        with (
            network(3) as hosts,
            running("moto", tmp_path, hosts.address) as s3,
            open_server(tmp_path, hosts.address) as tracking,
        ):
            made = Ray(folder, hosts, tracking, s3, nodes)
            for number, host in enumerate(hosts.hosts, 1):
                made.start_node(host)
                made.wait_for(number)
            yield made
    finally:
        for process in nodes.values():
            process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_host_that_is_cut_off_for_a_minute_costs_nothing_but_time(
    ray: Ray, tmp_path: Path
) -> None:
    driver, until = ray.sweep(), time.monotonic() + 240
    log = ray.folder / "sweep.log"
    while len({key.split("/")[0] for key in ray.checkpoints()}) < 2:  # both hosts train
        assert driver.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(1)
    host = ray.others[0]
    host.pull_the_cable()
    time.sleep(CUT_OFF_S)
    host.plug_it_in()  # Ray ends a node that it has given up, when that one is heard of again
    ray.wait_for(3)
    assert driver.wait(timeout=600) == 0, log.read_text()
    assert log.read_text().count(" finished") >= CELLS

    with closing(sqlite3.connect(tmp_path / "server.db")) as ledger:
        statuses = ledger.execute(
            "SELECT status, count(*) FROM runs JOIN tags USING (run_uuid) WHERE tags.key = "
            "'raymm.kind' AND tags.value = 'cell' GROUP BY status"
        ).fetchall()
        counts = ledger.execute(
            "SELECT count(*), count(DISTINCT step) FROM metrics JOIN tags USING (run_uuid) WHERE "
            "metrics.key = 'loss/val' AND tags.key = 'raymm.kind' AND tags.value = 'cell' "
            "GROUP BY run_uuid"  # summaries of a sweep have that metric too
        ).fetchall()
    assert statuses == [("FINISHED", CELLS)]  # each cell has one run
    assert counts == [(EPOCHS, EPOCHS)] * CELLS  # and each epoch once
