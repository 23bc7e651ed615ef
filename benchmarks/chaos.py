"""Kills random workers, drivers and nodes while a grid runs, then proves that nothing came of it.

    python benchmarks/chaos.py --minutes 20 --seed 0
    python benchmarks/chaos.py --minutes 2 --seed 1 --keep /tmp/chaos      # leave everything there

On a Ray cluster of several nodes on this machine the sparsity grid's own command runs over and over,
each time it is done with one seed more, until the minutes are over; then it may finish in peace. The
same grid runs undisturbed on a Ray of its own. Proved at the end:

- every cell is finished, in one run of MLflow, with one point for each epoch of its curves;
- its final metrics are those of the calm run, to 1e-6;
- no process that trains, no placement group and no file is left over;
- each driver that was interrupted, or whose head was lost, ended by itself.

Writes a JSON (--out) and prints a table. The exit status is 1 if a proof fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, only its own folder would be found

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.chaos_proof import Proof, prove  # noqa: E402
from benchmarks.local_cluster import LocalCluster, adopt_orphans, end, kill_one_of  # noqa: E402

EPOCHS = 20
GRID = (
    f"--models mca zorro --sparsities 0 0.4 --epochs {EPOCHS} --checkpoint-every-s 2 --name chaos"
)
WEIGHTS = {
    "worker killed": 6,
    "node lost": 3,
    "node lost after notice": 2,
    "driver killed": 3,
    "driver interrupted": 1,
    "group's controller killed": 2,
    "dispatcher killed": 1,
    "trial's process killed": 2,
    "head lost": 1,
}
"""Faults, and how often each is drawn."""
SIGNALS = {"driver killed": signal.SIGKILL, "driver interrupted": signal.SIGINT}
PAUSE_S = (4.0, 16.0)
"""Between two faults."""
NOTICE_S = 3.0
NODES = 2
ROUND_TIMEOUT_S = 900
END_TIMEOUT_S = 180
"""For a driver that is interrupted, or that has lost the cluster's head."""
MOST_ENDS_IN_A_ROW = 5
"""Drivers that may end by themselves with an error, one after the other, with no fault between."""


@dataclass
class Chaos:
    """A disturbed sweep and what has been done to it."""

    folder: Path
    rng: random.Random
    console: Console
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    stuck: list[str] = field(default_factory=list)
    rounds: int = 0
    started: float = field(default_factory=time.monotonic)

    def run(self, minutes: float) -> None:
        """Disturb for some minutes, then let the last round finish."""
        deadline = time.monotonic() + 60 * minutes
        cluster = LocalCluster(NODES)
        try:
            driver = self.driver(cluster)
            while time.monotonic() < deadline:
                time.sleep(self.rng.uniform(*PAUSE_S))
                driver = self.after_end(driver, cluster)
                cluster, driver = self.one_fault(cluster, driver)
            self.say("in peace now")
            self.finish(cluster, driver)
            self.left = left_over(cluster)
        finally:
            cluster.close()

    def driver(self, cluster: LocalCluster) -> subprocess.Popen[str]:
        """Start the command on a cluster."""
        return command(self.folder, self.rounds + 1, cluster.address)

    def after_end(
        self, driver: subprocess.Popen[str], cluster: LocalCluster
    ) -> subprocess.Popen[str]:
        """A driver that has ended is started again, with one seed more if it was done."""
        status = driver.poll()
        if status is None:
            return driver
        self.ends[str(status)] += 1
        if status == 0:
            self.rounds += 1
            self.say(f"round {self.rounds} is done")
        return self.driver(cluster)

    def one_fault(
        self, cluster: LocalCluster, driver: subprocess.Popen[str]
    ) -> tuple[LocalCluster, subprocess.Popen[str]]:
        """Do something random, if there is something to do it to."""
        fault = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        done = True
        if fault == "worker killed":
            done = kill_one_of(cluster.trainers(), self.rng)
        elif fault in ("node lost", "node lost after notice"):
            busy = [node for node in cluster.nodes if cluster.trainers(node)]
            done = bool(busy)
            if busy:
                node = self.rng.choice(busy)
                if fault == "node lost after notice":
                    cluster.give_notice(node, NOTICE_S)
                    time.sleep(NOTICE_S)
                cluster.lose_node(node)
                cluster.add_node()
        elif fault in ("driver killed", "driver interrupted"):
            done = driver.poll() is None
            if done:
                driver.send_signal(SIGNALS[fault])
                self.wait_for_end(driver, fault)
                driver = self.driver(cluster)
        elif fault == "head lost":
            cluster.kill_head()
            self.wait_for_end(driver, fault)
            cluster.close()
            cluster = LocalCluster(NODES)
            driver = self.driver(cluster)
        else:
            names = {
                "group's controller killed": "TrainController",
                "dispatcher killed": "Dispatcher",
                "trial's process killed": "ImplicitFunc",
            }
            done = kill_one_of(cluster.on_head(names[fault]), self.rng)
        if done:
            self.faults[fault] += 1
            self.say(fault)
        return cluster, driver

    def wait_for_end(self, driver: subprocess.Popen[str], why: str) -> None:
        """Wait until a driver has ended, as it has to now; one that does not is killed."""
        try:
            status = str(driver.wait(timeout=END_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            self.stuck.append(f"{why}: process {driver.pid} did not end in {END_TIMEOUT_S} s")
            status = f"stuck, then {end(driver)}"
        self.ends[status] += 1

    def finish(self, cluster: LocalCluster, driver: subprocess.Popen[str]) -> None:
        """Let the command come to its end, undisturbed."""
        for number in range(MOST_ENDS_IN_A_ROW):
            status = driver.wait(timeout=ROUND_TIMEOUT_S)
            self.ends[str(status)] += 1
            if status == 0:
                self.rounds += 1
                return
            if number + 1 < MOST_ENDS_IN_A_ROW:
                driver = self.driver(cluster)
        raise SystemExit(f"the undisturbed command keeps failing: {self.folder}/said.txt")

    def say(self, what: str) -> None:
        """A line of progress."""
        seconds = time.monotonic() - self.started
        total = sum(self.faults.values())
        self.console.print(f"{seconds:6.0f} s  {total:3} faults  {what}", highlight=False)


def command(folder: Path, seeds: int, address: str | None) -> subprocess.Popen[str]:
    """Start the grid with seeds 0, 1, ... in a folder, on a cluster or on a Ray of its own."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    arguments = [*GRID.split(), "--seeds", *map(str, range(seeds))]
    arguments += ["--address", address] if address else []
    environment = {**os.environ, "TMPDIR": str(scratch), "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    with (folder / "said.txt").open("a") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), *arguments],
            cwd=folder,
            env=environment,
            text=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def left_over(cluster: LocalCluster) -> dict[str, list[str]]:
    """What a sweep that has ended holds of the cluster, and what is left of nodes and drivers that
    were killed: processes and placement groups."""
    deadline = time.monotonic() + 60  # Ray takes seconds to end what a driver leaves
    while True:
        found = {
            "processes": [
                name
                for name in cluster.all_processes().values()
                if name.startswith("ray::") and not name.startswith(IDLE)
            ],
            "orphans": list(cluster.orphans().values()),
            "placement groups": cluster.placement_groups(),
        }
        if not any(found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(1)


IDLE = (
    "ray::IDLE",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "ray::_AutoscalingCoordinatorActor",
)
"""What Ray keeps on a node that has nothing to do; the last once in a cluster, for all jobs to come
that use Ray Train or Ray Data."""


def main() -> int:
    """Run the chaos, then the calm, then the proof."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("chaos.json"))
    parser.add_argument("--keep", type=Path, help="an empty folder, kept afterwards")
    options = parser.parse_args()
    console = Console()
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = Path(options.keep or temporary).absolute()
        chaos = Chaos(folder / "chaos", random.Random(options.seed), console)
        chaos.folder.mkdir(parents=True)
        chaos.run(options.minutes)
        disturbed_s = time.monotonic() - chaos.started
        console.print(f"the same {chaos.rounds} seed(s), undisturbed", highlight=False)
        calm, began = folder / "calm", time.monotonic()
        calm.mkdir()
        if command(calm, chaos.rounds, None).wait(timeout=3600) != 0:
            raise SystemExit(f"the calm run failed: {calm}/said.txt")
        seen = "; ".join(chaos.stuck) or f"{sum(chaos.ends.values())} ends"
        proofs = [
            *prove(chaos.folder, calm, EPOCHS, chaos.left),
            Proof("every driver that had to end did", not chaos.stuck, seen),
        ]
        report = {
            "seed": options.seed,
            "minutes": options.minutes,
            "faults": sum(chaos.faults.values()),
            "by kind": dict(chaos.faults.most_common()),
            "exit statuses of drivers": dict(chaos.ends.most_common()),
            "rounds": chaos.rounds,
            "disturbed, s": round(disturbed_s),
            "calm, s": round(time.monotonic() - began),
            "proofs": [dataclasses.asdict(proof) for proof in proofs],
            "proved": all(proof.holds for proof in proofs),
        }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    show(report, console)
    return 0 if report["proved"] else 1


def show(report: dict[str, object], console: Console) -> None:
    """Print the report as tables."""
    table = Table("fault", "times", title=f"{report['faults']} faults survived")
    kinds = report["by kind"]
    assert isinstance(kinds, dict)
    for name, times in kinds.items():
        table.add_row(name, str(times))
    console.print(table)
    proofs = report["proofs"]
    assert isinstance(proofs, list)
    table = Table("proof", "holds", "seen")
    for proof in proofs:
        table.add_row(proof["claim"], "yes" if proof["holds"] else "NO", proof["seen"])
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
