"""A Ray head on this machine as `ray start --head` makes it, with ports of its own and, where asked for,
an autoscaler whose nodes are processes here (Ray's fake multi-node provider, `benchmarks.machines`).

Used by `tests/cluster` and by benchmarks. Like `benchmarks.local_cluster` it touches no process that it
has not started; in particular it never calls `ray stop`, which ends every Ray of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.local_cluster import ENVIRONMENT, adopt_orphans, descendants, kill, title

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
START_TIMEOUT_S = 240.0
STARTED = "Ray runtime started"
"""What `ray start` says at its end; it gives up if its own processes take more than 30 s."""
HEAD_TYPE = "ray.head.default"
"""The fake provider's own name for it."""


class Head:
    """A head, and what it starts.

    Args:
        cpus: of the head.
        node_types: of the workers that an autoscaler may start, as in a cluster file: by name
            {"resources": ..., "max_workers": ...}; None for no autoscaler.
        idle_minutes: after which the autoscaler ends a node.
        environment: more variables, for the head and all that runs on it.
    """

    def __init__(
        self,
        cpus: int = 0,
        *,
        node_types: Mapping[str, Mapping[str, Any]] | None = None,
        idle_minutes: float = 0.2,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        adopt_orphans()
        self._before = set(descendants(os.getpid()))
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets have short names
        self.port, self.dashboard_port, *others = free_ports(5)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, **ENVIRONMENT, "PATH": path, **(environment or {})}
        command = self._command(cpus, others)
        if node_types is not None:
            command.append(f"--autoscaling-config={self._config(cpus, node_types, idle_minutes)}")
            places = [str(ROOT), *filter(None, [self.environment.get("PYTHONPATH")])]
            self.environment |= {
                "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
                "PYTHONPATH": os.pathsep.join(places),
            }  # fmt: skip
        self.log = self.folder / "head.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()

    @property
    def address(self) -> str:
        """For --address."""
        return f"{HOST}:{self.port}"

    @property
    def jobs(self) -> str:
        """For `ray job --address`."""
        return f"http://{HOST}:{self.dashboard_port}"

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of Ray or Python in the head's environment, and wait for it."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, **options
        )

    def processes(self) -> dict[int, str]:
        """Titles of all processes that came with this head, by number."""
        found = set(descendants(os.getpid())) - self._before
        return {pid: title(pid) for pid in found}

    def __enter__(self) -> Head:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, its nodes, and all that runs on them."""
        for _ in range(3):  # what was just being started by something that is killed first
            for pid in self.processes():
                kill(pid)
        self.process.wait()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # orphans that we adopted
                pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, cpus: int, ports: Sequence[int]) -> list[str]:
        agent, agent_grpc, metrics = ports
        return [
            str(Path(sys.executable).parent / "ray"), "start", "--head", "--block",
            f"--node-ip-address={HOST}", f"--port={self.port}", f"--num-cpus={cpus}",
            "--include-dashboard=true", f"--dashboard-host={HOST}",
            f"--dashboard-port={self.dashboard_port}", f"--dashboard-agent-listen-port={agent}",
            f"--dashboard-agent-grpc-port={agent_grpc}", f"--metrics-export-port={metrics}",
            f"--temp-dir={self.folder}", "--object-store-memory=200000000", "--disable-usage-stats",
        ]  # fmt: skip

    def _config(
        self, cpus: int, node_types: Mapping[str, Mapping[str, Any]], idle_minutes: float
    ) -> Path:
        head = {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}
        types = {
            name: {"node_config": {}, "min_workers": 0, **each} for name, each in node_types.items()
        }
        config = {
            "cluster_name": "fake",
            "provider": {
                "type": "external",
                "module": "benchmarks.machines.Machines",
                "gcs_address": self.address,
                "use_node_id_as_ip": True,  # or it never sees its nodes, which share an address, as up
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": [],
            "initialization_commands": [], "setup_commands": [], "head_setup_commands": [],
            "worker_setup_commands": [], "head_start_ray_commands": [], "worker_start_ray_commands": [],
            "max_workers": sum(each["max_workers"] for each in node_types.values()),
            "upscaling_speed": 100.0,
            "idle_timeout_minutes": idle_minutes,
            "head_node_type": HEAD_TYPE,
            "available_node_types": {HEAD_TYPE: head, **types},
        }  # fmt: skip
        file = self.folder / "autoscaling.json"
        file.write_text(json.dumps(config))
        return file

    def _wait(self) -> None:
        """Until it says that it has started, and takes jobs: the dashboard answers before that."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.jobs}/api/version", timeout=5),
            ):
                if STARTED in self.log.read_text():
                    return
            time.sleep(0.5)
        said = self.log.read_text()
        self.close()
        raise RuntimeError(f"the head did not start:\n{said}")


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at now."""
    made = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in made]
    for each in made:
        each.close()
    return ports
