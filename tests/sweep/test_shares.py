"""Cells that several drivers have in common, and the signals that end a driver."""

from __future__ import annotations

import io
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from raymm.errors import SweepError
from raymm.report.ledger import read_ledger
from raymm.report.record import record_of
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.ledger import Ledger
from raymm.sweep.plan import Sweep
from raymm.sweep.progress import ProgressView, Standing
from raymm.sweep.record import Recorder
from raymm.sweep.settings import SweepSettings
from raymm.sweep.shares import train_shares
from tests.sweep.ledgers import CURVE, METRICS, cell, opened, points, runs, train
from tests.sweep.small import dataset

CELLS = [cell(seed) for seed in range(4)]


def recorder(ledger: Ledger, standing: Standing, console: Console) -> Recorder:
    sweep = Sweep(
        name="trial", settings=SweepSettings(), dataset=dataset(), cells=CELLS, finished={},
        folder=Path.cwd(), ledger=ledger,
    )  # fmt: skip
    return Recorder(sweep, standing, ProgressView(standing, console))


def training(by: Recorder, done: list[str]) -> Callable[[Sequence[Cell]], None]:
    def train_these(cells: Sequence[Cell]) -> None:
        for each in cells:
            outcome = {"status": "finished", "metrics": METRICS}
            by.hear(each.key, {"started": True, "epochs": CURVE, "outcome": outcome})
            done.append(each.key)

    return train_these


@pytest.mark.parametrize("parts", [1, 8])
def test_that_memory_ran_out_is_on_record_and_in_the_report(uri: str, parts: int) -> None:
    standing = Standing(CELLS, {each.key: 1.0 for each in CELLS})
    outcome = {"status": "finished", "metrics": METRICS, "micro_batches": parts}
    with opened(uri) as mine:
        by = recorder(mine, standing, Console(quiet=True))
        heard = by.hear(CELLS[0].key, {"started": True, "epochs": CURVE, "outcome": outcome})
        assert mine.flush(20)
        kept = mine.finished([CELLS[0]])[CELLS[0].key]
    assert heard is not None and heard.micro_batches == kept.micro_batches == parts
    (run,) = runs(uri, "cell")
    assert run.data.tags.get("raymm.micro_batches", "1") == str(parts)
    of_ledger = read_ledger("trial", uri)
    at_hand = record_of([heard], name="trial", command="", settings={}, environment={})
    for record in (of_ledger, at_hand):
        assert record is not None
        told = [note for note in record.notes if "out of memory" in note]
        assert bool(told) is (parts > 1)


def test_a_driver_trains_what_is_free_waits_for_the_rest_and_takes_it_over(uri: str) -> None:
    """Of the other driver's cells it finishes one, fails one, and is stopped before the last."""
    stopping, done = threading.Event(), list[str]()
    file = io.StringIO()
    standing, console = Standing(CELLS, {each.key: 1.0 for each in CELLS}), Console(file=file)
    with opened(uri, "other") as other, opened(uri) as mine:
        other.claim(CELLS[1:])
        by = recorder(mine, standing, console)
        waiter = threading.Thread(
            target=train_shares,
            args=(CELLS, mine, by, training(by, done), stopping, 0.05),
        )
        waiter.start()
        while "waiting for" not in file.getvalue():
            time.sleep(0.02)
        train(other, CELLS[1])
        other.start(CELLS[2])
        other.end(CellResult(CELLS[2].config, "digits", CELLS[2].key, "failed", "why"))
        other.start(CELLS[3])
        assert other.flush(20)
        waiter.join(1.0)
        assert waiter.is_alive() and done == ["key0"]
        other.abandon("stopped")
        waiter.join(30)
        assert not waiter.is_alive()
        assert mine.flush(20)
    assert done == ["key0", "key3"]
    assert {key: each.status for key, each in standing.ended.items()} == {
        "key0": "finished", "key1": "finished", "key2": "failed", "key3": "finished",
    }  # fmt: skip
    assert standing.ended["key2"].reason == "why"
    assert "waiting for 3 cell(s) that another driver trains: host" in file.getvalue()
    found = {run.data.tags["raymm.cell_key"]: run for run in runs(uri, "cell")}
    assert len(found) == len(runs(uri, "cell")) == 4
    assert points(uri, found["key3"]) == [(1, 2.0), (2, 1.0)]


def copy_database(source: Path | str, to: Path) -> None:
    """Put a database in the place of another, for those too who have that open."""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(to)) as there:
        here.backup(there)


def test_a_store_that_is_away_is_waited_for_by_a_driver_that_waits_for_others(
    uri: str, tmp_path: Path
) -> None:
    done = list[str]()
    standing = Standing(CELLS, {each.key: 1.0 for each in CELLS})
    database, aside = tmp_path / "mlflow.db", tmp_path / "aside.db"
    with opened(uri, "other") as other, opened(uri) as mine:
        other.claim(CELLS[1:])
        by = recorder(mine, standing, Console(quiet=True))
        args = (CELLS, mine, by, training(by, done), threading.Event(), 0.05)
        waiter = threading.Thread(target=train_shares, args=args)
        waiter.start()
        while not done:
            time.sleep(0.05)
        assert mine.flush(10)
        copy_database(database, aside)
        copy_database(":memory:", database)  # no table is left
        time.sleep(1)
        assert waiter.is_alive()
        copy_database(aside, database)
        other.abandon("stopped")
        waiter.join(60)
        assert not waiter.is_alive()
        assert mine.flush(20)
    assert {each.status for each in standing.ended.values()} == {"finished"}
    assert {run.info.status for run in runs(uri, "cell")} == {"FINISHED"}


def test_a_request_to_stop_ends_the_wait(uri: str) -> None:
    stopping = threading.Event()
    standing = Standing(CELLS, {each.key: 1.0 for each in CELLS})
    with opened(uri, "other") as other, opened(uri) as mine:
        other.claim(CELLS)
        by = recorder(mine, standing, Console(quiet=True))
        args = (CELLS, mine, by, training(by, []), stopping, 1000.0)
        waiter = threading.Thread(target=train_shares, args=args)
        waiter.start()
        stopping.set()
        waiter.join(20)
        assert not waiter.is_alive()
        by.stop_the_rest()
    assert {each.status for each in standing.ended.values()} == {"stopped"}


def test_a_sweep_that_chooses_its_cells_has_one_driver(uri: str, tmp_path: Path) -> None:
    def lead() -> Ledger:
        ledger = Ledger(uri, "digits")
        ledger.open_sweep("search", {}, folder=tmp_path, storage="s", cells=(), alone=True)
        return ledger

    with lead(), pytest.raises(SweepError, match=r"'search' is led by another driver \(host"):
        lead()
    with lead():
        pass
    assert {run.info.status for run in runs(uri, "driver")} == {"KILLED"}


WAITS = """
import time
from raymm.sweep.interrupt import Interrupts
try:
    with Interrupts() as interrupts:
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
            if interrupts.stopping.is_set():
                print("stopping", flush=True)
                time.sleep(1000)
except KeyboardInterrupt:
    print("at once")
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends_at_once(first: signal.Signals) -> None:
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "at once\n")
    assert "the same command goes on" in said and "Ctrl-C again stops at once" in said
