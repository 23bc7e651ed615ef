"""What saturates first in a long sweep: many cells that take a second and train nothing.

    python -m benchmarks.fake_cells drive --cells 2000 --at-once 10
    python -m benchmarks.fake_cells drive --cells 500 --at-once 10 --ledger server
    python -m benchmarks.fake_cells plan --cells 10000

`drive` runs a real sweep (Tune, worker groups, ledger, claims, outbox) whose cells only wait and report,
so that what is measured is raymm, Ray and MLflow. `plan` fills a ledger with finished cells by copying
rows in its database, and measures how long the plan takes, and how long a second start takes until cells
are trained. Both work in a new folder under the one they are called from, and print one JSON line. What
`--ledger server` needs, `make test-cluster` sets up.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from benchmarks.local_cluster import descendants, title
from benchmarks.mlflow_server import ADMIN, PASSWORD, mlflow_server, postgres
from raymm.config import CellConfig
from raymm.data.dataset import Dataset
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.claims import OWNER, RUN
from raymm.sweep.grid import GridSettings
from raymm.sweep.ledger import Ledger
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from raymm.sweep.tags import cell_tags
from raymm.tracking import LOCAL_STORE, SQLITE, Store

ROOT = Path(__file__).parent.parent
EPOCHS = 5
SECONDS = 1.0
METRICS = {
    "probe/auprc": 0.5, "probe/accuracy": 0.5, "probe/loss": 1.0, "uniformity/mean": -1.0,
    "alignment/mean": 0.5, "rank/median_mean": 3.0, "recall/at_1": 0.1, "recall/at_5": 0.4,
    "recall/at_10": 0.6, "time/train_s": 1.0, "memory/peak_gib": 0.5,
}  # fmt: skip
CURVE = ("loss/train", "loss/val", "grad_norm", "lr")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
GIB, MIB = 2**30, 2**20
SERVERS = ("gcs_server", "raylet", "dashboard", "log_monitor", "postgres", "mlflow")
TABLES = ("runs", "tags", "params", "metrics")
SERVERS_PYTHON = ROOT / ".venv-mlflow/bin/python"
LedgerPlace = tuple[str | None, Callable[[str], int]]
"""Address for --tracking-uri, and what counts the rows of one of MLflow's tables."""
TRAIN = "benchmarks.fake_cells:train"
LEFT_OUT = 100
"""Cells that a filled ledger lacks: what the second start has to train."""


# The cells


def train(
    cell: CellConfig, dataset: Dataset, *, on_epoch: Callable[[Any], bool], **options: object
) -> dict[str, float]:
    """What `train_cell` looks like from outside: epochs that are reported, and metrics at the end."""
    from raymm.training.state import EpochReport

    for epoch in range(1, EPOCHS + 1):
        time.sleep(SECONDS / EPOCHS)
        on_epoch(EpochReport(epoch, dict.fromkeys(CURVE, 1.0 / epoch)))
    return dict(METRICS)


def settings(cells: int, **more: Any) -> GridSettings:
    """A grid of at least so many cells on the built-in data."""
    conditions = 4 * 5
    return GridSettings(
        seeds=tuple(range(-(-cells // conditions))), epochs=EPOCHS, name="fake", **more
    )


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Work in a new folder, which goes afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fake-cells-", dir=before) as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


# Driving them


@dataclass
class Usage:
    """What a process has used."""

    title: str
    cpu_s: float
    resident_mib: float


class Sampler:
    """Looks every few seconds at this process and all it has started; keeps what it saw last."""

    def __init__(self) -> None:
        self.seen: dict[int, Usage] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(2.0):
            for pid in (os.getpid(), *descendants(os.getpid())):
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MIB
                except OSError:
                    continue
                cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
                most = max(resident, self.seen[pid].resident_mib if pid in self.seen else 0.0)
                self.seen[pid] = Usage(kind_of(pid), cpu_s, most)

    def by_kind(self) -> dict[str, dict[str, float]]:
        """Processes, CPU seconds and peak memory, by kind of process."""
        found: dict[str, dict[str, float]] = {}
        for usage in self.seen.values():
            row = found.setdefault(usage.title, {"processes": 0, "cpu_s": 0.0, "mib_each": 0.0})
            row["processes"] += 1
            row["cpu_s"] = round(row["cpu_s"] + usage.cpu_s, 1)
            row["mib_each"] = round(max(row["mib_each"], usage.resident_mib))
        return found


def kind_of(pid: int) -> str:
    """What a process does, by its title."""
    if pid == os.getpid():
        return "driver"
    said = title(pid)
    if said.startswith("ray::"):
        return said.split()[0].split(".")[0]
    return next((name for name in SERVERS if name in said), "other")


def drive(
    cells: int = 2000, at_once: int = 10, ledger: Literal["sqlite", "server"] = "sqlite"
) -> None:
    """Run a sweep of fake cells.

    Args:
        cells: how many; rounded up to full conditions.
        at_once: worker groups.
        ledger: an SQLite file, or an MLflow server with accounts and its PostgreSQL, started here.
    """
    from raymm.sweep import runner
    from raymm.training.cluster import groups_on_this_machine

    cpus = groups_on_this_machine(1, 1) / at_once
    real = runner.pool_settings
    runner.pool_settings = lambda *args: replace(real(*args), train=TRAIN)
    with (
        folder_of_its_own() as folder,
        LEDGERS[ledger](folder) as (tracking, count),
        open(os.devnull, "w") as nowhere,
    ):
        sweep = prepare_sweep(settings(cells, cpus_per_worker=cpus, tracking_uri=tracking))
        claim_places(sweep)
        begin, own = time.monotonic(), os.times()
        with Sampler() as sampler, sweep.ledger:
            results = runner.run_sweep(sweep, Console(file=nowhere))
            driven_s = time.monotonic() - begin
            sweep.ledger.close_sweep("FINISHED")
            assert sweep.ledger.settle(600.0)
        settled_s, after = time.monotonic() - begin, os.times()
        rows = {table: count(table) for table in TABLES}
        lost = [each for each in results if each.status != "finished"]
        assert not lost, f"{len(lost)} cells did not finish; the first: {lost[0].reason}"
        print(
            json.dumps(
                {
                    "cells": len(results),
                    "at_once": at_once,
                    "ledger": ledger,
                    "wall_s": round(driven_s, 1),
                    "ideal_s": round(len(results) * SECONDS / at_once, 1),
                    "settled_s": round(settled_s, 1),
                    "driver_cpu_ms_per_cell": round(
                        1000 * (after.user + after.system - own.user - own.system) / len(results), 1
                    ),
                    "driver_peak_gib": round(
                        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 2
                    ),
                    "mlflow_rows": rows,
                    "mlflow_rows_per_s": round(sum(rows.values()) / settled_s),
                    "processes": sampler.by_kind(),
                }
            )
        )


@contextmanager
def sqlite_file(folder: Path) -> Iterator[LedgerPlace]:
    """The default: a file beside the sweep."""
    database = folder / LOCAL_STORE.removeprefix(SQLITE)

    def count(table: str) -> int:
        with closing(sqlite3.connect(database)) as made:
            return int(made.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    yield None, count


@contextmanager
def mlflow_on_postgres(folder: Path) -> Iterator[LedgerPlace]:
    """Servers of this machine, as cluster/mlflow starts them."""
    artifacts = (folder / "artifacts").as_uri()
    with postgres(folder) as database:

        def count(table: str) -> int:
            asked = ["psql", "-At", "-c", f"SELECT count(*) FROM {table}"]
            address = database.replace("+psycopg2", "")
            return int(subprocess.run([*asked, address], check=True, capture_output=True).stdout)

        with mlflow_server(folder, database, artifacts, {}, SERVERS_PYTHON) as address:
            os.environ |= {
                "MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": PASSWORD
            }  # fmt: skip
            yield address, count


LEDGERS = {"sqlite": sqlite_file, "server": mlflow_on_postgres}


# A ledger that is full


def plan(cells: int = 10_000) -> None:
    """Measure the plan of a sweep and the start of one that is nearly finished.

    Args:
        cells: how many; rounded up to full conditions.
    """
    with folder_of_its_own() as folder:
        empty_s, empty_cpu_s = _command_s("--plan", cells)
        begin = time.monotonic()
        done = fill(folder, cells)
        filled_s = time.monotonic() - begin
        full_s, full_cpu_s = _command_s("--plan", cells)
        before = os.times()
        steps = _start(settings(cells))
        after = os.times()
        start_cpu_s = after.user + after.system - before.user - before.system
        print(
            json.dumps(
                {
                    "cells": done + LEFT_OUT,
                    "plan_of_new_cells_s": round(empty_s, 1),
                    "plan_of_new_cells_cpu_s": round(empty_cpu_s, 1),
                    "plan_of_finished_cells_s": round(full_s, 1),
                    "plan_of_finished_cells_cpu_s": round(full_cpu_s, 1),
                    "second_start_s": {name: round(s, 1) for name, s in steps.items()},
                    "second_start_in_all_s": round(sum(steps.values()), 1),
                    "second_start_cpu_s": round(start_cpu_s, 1),
                    "peak_gib": round(
                        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 2
                    ),
                    "filled_s": round(filled_s, 1),
                }
            )
        )


def _command_s(option: str, cells: int) -> tuple[float, float]:
    """Seconds, and processor seconds, of the whole command with its process."""
    seeds = map(str, settings(cells).seeds)
    command = [sys.executable, str(ROOT / "sweeps/sparsity_grid.py"), option]
    begin, before = time.monotonic(), os.times()
    subprocess.run(
        [*command, "--epochs", str(EPOCHS), "--name", "fake", "--seeds", *seeds],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = os.times()
    cpu_s = after.children_user + after.children_system
    return time.monotonic() - begin, cpu_s - before.children_user - before.children_system


def _start(chosen: GridSettings) -> dict[str, float]:
    """What a second start does before it trains, and how long each part takes."""
    steps, last = {}, time.monotonic()

    def lap(name: str) -> None:
        nonlocal last
        now = time.monotonic()
        steps[name] = now - last
        last = now

    from raymm.sweep.opening import open_record

    sweep = prepare_sweep(chosen)
    assert len(sweep.missing) == LEFT_OUT, len(sweep.missing)
    lap("prepare")
    claim_places(sweep)
    lap("claim the places")
    with sweep.ledger:
        open_record(sweep)
        lap("open the record")
        granted = sweep.ledger.claim(sweep.missing)
        assert len(granted.mine) == LEFT_OUT
        lap("claim the rest")
        for cell in granted.mine:
            sweep.ledger.start(cell)
        assert sweep.ledger.flush(600.0)
        lap(f"begin {LEFT_OUT} cells in the ledger, and what the start itself wrote")
    return steps


def fill(folder: Path, cells: int) -> int:
    """Make a ledger in which all but `LEFT_OUT` cells of the grid are finished; returns how many are.

    One cell is recorded by raymm; the others get copies of its rows with what is their own changed.
    """
    sweep = prepare_sweep(settings(cells))
    claim_places(sweep)
    first, *rest = sweep.cells[: len(sweep.cells) - LEFT_OUT]
    _record(sweep, first)
    database = folder / LOCAL_STORE.removeprefix(SQLITE)
    template = Store(None).runs(f"tags.`raymm.cell_key` = '{first.key}'")[0].run_id
    ids = {cell.key: uuid.uuid4().hex for cell in rest}
    with closing(sqlite3.connect(database)) as made:
        _copy(made, template, {ids[cell.key]: _own_tags(cell, sweep) for cell in rest})
        made.commit()
    owner = sweep.ledger.store.registers([first.key])[f"{first.key}/{OWNER}/1"]
    registers = {f"{key}/{RUN}/1": run for key, run in ids.items()}
    sweep.ledger.store.write_once(registers | {f"{key}/{OWNER}/1": owner for key in ids})
    return 1 + len(rest)


def _record(sweep: Sweep, cell: Cell) -> None:
    from raymm.sweep.opening import open_record

    epochs = [
        {"epoch": float(epoch), **dict.fromkeys(CURVE, 1.0 / epoch)}
        for epoch in range(1, EPOCHS + 1)
    ]
    ledger: Ledger = sweep.ledger
    with ledger:
        open_record(sweep)
        ledger.claim([cell])
        ledger.start(cell)
        ledger.log_epochs(cell.key, epochs)
        ledger.end(CellResult(cell.config, sweep.dataset.name, cell.key, "finished", "", METRICS))
        ledger.close_sweep("FINISHED")
        assert ledger.settle(60.0)


def _copy(made: sqlite3.Connection, template: str, runs: Mapping[str, Mapping[str, str]]) -> None:
    """Copy a run.

    Args:
        runs: ids of the copies, each with its tags that are not as the template's.
    """
    for table in ("runs", "params", "metrics", "latest_metrics"):
        _copy_table(made, table, template, [{"run_uuid": run} for run in runs])
    tags = dict(made.execute("SELECT key, value FROM tags WHERE run_uuid = ?", [template]))
    made.executemany(
        "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
        ((run, key, value) for run, own in runs.items() for key, value in {**tags, **own}.items()),
    )


def _own_tags(cell: Cell, sweep: Sweep) -> Mapping[str, str]:
    made = cell_tags(cell, dataset=sweep.dataset.name, storage=sweep.storage)
    return {**made, "mlflow.runName": cell.title}


def _copy_table(
    made: sqlite3.Connection, table: str, template: str, changed: Sequence[Mapping[str, object]]
) -> None:
    found = made.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", [template])
    columns = [each[0] for each in found.description]
    rows = [dict(zip(columns, row, strict=True)) for row in found]
    marks = ", ".join("?" * len(columns))
    made.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
        ([{**row, **change}[name] for name in columns] for change in changed for row in rows),
    )


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"drive": drive, "plan": plan})
