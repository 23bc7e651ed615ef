"""Nodes that come with a sweep and go after it: Ray's autoscaler, with processes for machines."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions

from benchmarks.head import Head
from benchmarks.local_cluster import descendants, kill
from benchmarks.mlflow_server import open_server
from raymm.data.sources import load_dataset
from raymm.sweep.estimate import SLACK, estimate
from raymm.sweep.grid import GridSettings
from raymm.sweep.prices import GPU_MEMORY_GIB
from raymm.sweep.tags import ACCELERATOR, KEY, KIND, SWEEP
from raymm.tracking import Store
from tests.cluster.pretend import WHERE
from tests.s3.servers import Server, running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parent.parent.parent
TYPES = {
    "a10g": {"resources": {"CPU": 1, "GPU": 1, "accelerator_type:A10G": 1}, "max_workers": 2},
    "a100": {"resources": {"CPU": 1, "GPU": 1, "accelerator_type:A100": 1}, "max_workers": 1},
}
GRID: dict[str, Any] = {
    "models": ("mca", "eao"), "sparsities": (0.4,), "seeds": (0, 1), "modalities": ("zer", "mor"),
    "precision": "fp32",
}  # fmt: skip
GOES_S = 120.0


@dataclass
class Cluster:
    """A head with an autoscaler, and servers for what all machines must see."""

    head: Head
    folder: Path
    tracking: str
    s3: Server
    where: Path
    first_seen: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def nodes(self) -> dict[str, str]:
        """Kinds of the living nodes but the head, by id."""
        made: Any = GlobalState
        state = made()
        options = GcsClientOptions.create(
            self.head.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
        )
        state._initialize_global_state(options)
        table = state.node_table()
        state.disconnect()
        found = {
            node["NodeID"]: "a100" if "accelerator_type:A100" in node["Resources"] else "a10g"
            for node in table
            if node["Alive"] and "node:__internal_head__" not in node["Resources"]
        }
        for name, kind in found.items():
            self.first_seen.setdefault(name, time.monotonic())
            self.kinds[name] = kind
        return found

    def start(self, name: str, *more: str) -> subprocess.Popen[str]:
        hook = {"runtime_env": {"worker_process_setup_hook": "tests.cluster.pretend.gpus"}}
        command = [
            sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), "--models", *GRID["models"],
            "--sparsities", "0.4", "--seeds", "0", "1", "--modalities", "zer", "mor",
            "--precision", "fp32", "--gpu", "A10G", "--larger-gpu", "A100",
            "--gpus-per-worker", f"{share():g}", "--address", self.head.address, "--name", name,
            "--tracking-uri", self.tracking, "--storage", self.s3.make_bucket(name),
            "--log-models", "none", *more,
        ]  # fmt: skip
        environment = {**self.head.environment, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(hook)}
        with (self.folder / f"{name}.txt").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, text=True
            )

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.txt").read_text()

    def trained_on(self, process: subprocess.Popen[str]) -> dict[str, list[str]]:
        """Wait for a sweep; on which kinds of nodes each of its cells was trained, in order."""
        while process.poll() is None:
            self.nodes()
            time.sleep(0.5)
        return {file.name: file.read_text().split() for file in self.where.iterdir()}

    def all_gone(self) -> bool:
        until = time.monotonic() + GOES_S
        while self.nodes() and time.monotonic() < until:
            time.sleep(1)
        return not self.nodes()

    def lose(self, node: str) -> None:
        """Kill a node's raylet and all it started, as a machine that is switched off."""
        for pid, name in self.head.processes().items():
            if "raylet/raylet" in name and node in environment_of(pid):
                for each in (pid, *descendants(pid)):
                    kill(each)


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def share() -> float:
    """The share of a GPU of which MCA's cells fit an A10G's and EAO's do not, by the estimate."""
    data = load_dataset("digits", GRID["modalities"])
    needs: dict[str, float] = {}
    for cell in GridSettings(**GRID).expand(data):
        need = estimate(cell.config, data, 1, gpu=True).memory_gib * SLACK
        needs[cell.config.model.name] = max(need, needs.get(cell.config.model.name, 0.0))
    assert needs["mca"] < needs["eao"]
    return round(math.sqrt(needs["mca"] * needs["eao"]) / GPU_MEMORY_GIB["A10G"], 4)


def planned(epochs: int) -> dict[str, str]:
    """The kind of node that each cell belongs on, by cell key: by the estimate alone."""
    data = load_dataset("digits", GRID["modalities"])
    room = GPU_MEMORY_GIB["A10G"] * share()
    return {
        cell.key: "a10g"
        if estimate(cell.config, data, 1, gpu=True).memory_gib * SLACK <= room
        else "a100"
        for cell in GridSettings(**GRID, epochs=epochs).expand(data)
    }


def recorded(cluster: Cluster, name: str) -> dict[str, str]:
    """The kind of GPU on which the ledger says that each cell of a sweep was trained, by cell key."""
    runs = Store(cluster.tracking).runs(f"tags.`{KIND}` = 'cell' and tags.`{SWEEP}` = '{name}'")
    return {run.tags[KEY]: run.tags[ACCELERATOR].lower() for run in runs}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("autoscaling")
    where = folder / "where"
    where.mkdir()
    with running("moto", folder) as s3, open_server(folder) as tracking:
        environment = {
            **s3.environment(), "PYTHONPATH": str(ROOT), WHERE: str(where),
            "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "10", "COLUMNS": "100",
        }  # fmt: skip
        with Head(node_types=TYPES, environment=environment) as head:
            yield Cluster(head, folder, tracking, s3, where)


def test_a_plan_knows_what_may_come_and_brings_nothing(cluster: Cluster) -> None:
    process = cluster.start("plan", "--plan")
    assert process.wait(timeout=120) == 0, cluster.said("plan")
    said = " ".join(cluster.said("plan").split())
    assert "at a time 3 cell(s)" in said, said
    # Of the list, the smallest machine with one A10G; with one A100 there is none.
    assert "g5.xlarge is 1.006 USD an hour" in said and "p4d.24xlarge is 21.96 USD" in said, said
    assert cluster.nodes() == {}


def test_nodes_come_for_the_plan_and_go_after_it(cluster: Cluster) -> None:
    assert cluster.nodes() == {}  # from zero
    expected = planned(2)
    assert sorted(expected.values()) == ["a100", "a100", "a10g", "a10g"]
    process = cluster.start("first", "--epochs", "2")
    trained = cluster.trained_on(process)
    assert process.returncode == 0, cluster.said("first")
    assert sorted(cluster.kinds.values()) == ["a100", "a10g", "a10g"]
    seen = sorted(cluster.first_seen.values())
    assert seen[-1] - seen[0] < 30  # asked for all at once
    assert trained == {key: [kind] for key, kind in expected.items()}
    assert recorded(cluster, "first") == expected
    assert cluster.all_gone()


def test_a_node_that_is_lost_is_replaced_and_nothing_is_lost(cluster: Cluster) -> None:
    cluster.kinds.clear()
    for file in cluster.where.iterdir():
        file.unlink()
    expected = planned(60)
    process = cluster.start("second", "--epochs", "60", "--checkpoint-every-s", "0")
    until = time.monotonic() + 300
    while len(list(cluster.where.iterdir())) < 3 and time.monotonic() < until:
        assert process.poll() is None, cluster.said("second")
        cluster.nodes()
        time.sleep(0.5)
    time.sleep(3)  # in the middle
    victim = next(node for node, kind in cluster.nodes().items() if kind == "a100")
    cluster.lose(victim)
    trained = cluster.trained_on(process)
    assert process.returncode == 0, cluster.said("second")
    assert sorted(cluster.kinds.values()).count("a100") == 2  # the one that was lost, and another
    assert any(len(kinds) > 1 for kinds in trained.values())  # a cell was taken up again
    assert {key: set(kinds) for key, kinds in trained.items()} == {
        key: {kind} for key, kind in expected.items()
    }
    assert recorded(cluster, "second") == expected
    assert cluster.all_gone()
