"""Who trains which cell: drivers that begin at once, die, fall silent, and come back."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from raymm.errors import SweepError, TrackingError
from raymm.sweep.drivers import Pace, Watch, process_gone, this_process
from raymm.tracking import RunRecord, StoreAwayError
from tests.sweep.ledgers import (
    CURVE,
    FAST,
    cell,
    lose,
    move_away,
    opened,
    points,
    result,
    runs,
    train,
)

CELLS = [cell(seed) for seed in range(6)]
SLOW = dataclasses.replace(FAST, silent_s=1000.0)
"""Only a driver whose process is gone is taken for dead."""


def drive(uri: str, folder: Path, first: int, go: Any, trained: Any) -> None:
    """A driver of five of six cells, in a process of its own: trains what it gets, and waits."""
    os.chdir(folder)
    mine = CELLS[first : first + 5]
    ended: set[str] = set()
    with opened(uri, f"sweep-{first}", pace=SLOW) as ledger:
        go.wait()
        while len(ended) < len(mine):
            granted = ledger.claim([each for each in mine if each.key not in ended])
            ended |= granted.ended.keys()
            for each in granted.mine:
                trained.put((each.key, first))
                train(ledger, each)
                ended.add(each.key)
            time.sleep(0.05)
        assert ledger.flush(20)


def test_two_drivers_started_at_once_train_each_cell_once(uri: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go, trained = context.Barrier(2), context.Queue()
    drivers = [
        context.Process(target=drive, args=(uri, tmp_path, first, go, trained)) for first in (0, 1)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
        assert driver.exitcode == 0
    keys = sorted(trained.get(timeout=5)[0] for _ in CELLS)
    assert trained.empty() and keys == [each.key for each in CELLS]
    found = runs(uri, "cell")
    assert sorted(run.data.tags["raymm.cell_key"] for run in found) == keys
    assert all(points(uri, run) == [(1, 2.0), (2, 1.0)] for run in found)
    assert {run.info.status for run in found + runs(uri, "driver")} == {"FINISHED"} | {"KILLED"}


def begin_and_hang(uri: str, folder: Path, begun: Any) -> None:
    """A driver that is killed while it trains."""
    os.chdir(folder)
    ledger = opened(uri, pace=SLOW)
    assert ledger.claim(CELLS[:2]).mine == CELLS[:2]
    ledger.start(CELLS[0])
    ledger.log_epochs("key0", CURVE[:1])
    assert ledger.flush(10)
    begun.set()
    time.sleep(1000)


def test_cells_of_a_killed_driver_are_taken_over_at_once(uri: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    first = context.Process(target=begin_and_hang, args=(uri, tmp_path, begun))
    first.start()
    assert begun.wait(60)
    with opened(uri, pace=SLOW) as ledger:
        granted = ledger.claim(CELLS[:3])
        assert granted.mine == [CELLS[2]] and granted.elsewhere.keys() == {"key0", "key1"}
        assert f"process {first.pid}" in granted.elsewhere["key0"]
        with pytest.raises(TrackingError, match="trained by another driver"):
            ledger.start(CELLS[0])
        first.kill()
        first.join()
        assert ledger.claim(CELLS[:2]).mine == CELLS[:2]
        (left,) = [run for run in runs(uri, "cell") if run.data.tags["raymm.cell_key"] == "key0"]
        assert left.info.status == "KILLED"
        train(ledger, CELLS[0])
        assert ledger.flush(10)
    (run,) = [run for run in runs(uri, "cell") if run.data.tags["raymm.cell_key"] == "key0"]
    assert (run.info.run_id, run.info.status) == (left.info.run_id, "FINISHED")
    assert points(uri, run) == [(1, 2.0), (2, 1.0)]


def test_a_driver_that_fell_silent_and_was_taken_over_finds_out_before_it_writes(uri: str) -> None:
    """Its process lives on, so only its silence tells of it."""
    silent = opened(uri, pace=dataclasses.replace(FAST, beat_s=1000.0))
    silent.start(cell())
    assert silent.flush(10)
    with opened(uri) as ledger:
        deadline = time.monotonic() + 30
        granted = ledger.claim([cell()])
        assert not granted.mine  # it has only just been seen
        while not granted.mine and time.monotonic() < deadline:
            time.sleep(0.05)
            granted = ledger.claim([cell()])
        train(ledger, cell())
        assert ledger.flush(10)
    silent.log_epochs("key1", CURVE)
    silent.end(result(cell(), "failed", "from the grave"))
    with pytest.raises(TrackingError, match=r"another one .* has taken over 1 of its cells"):
        silent.flush(10)
    silent.abandon("")
    (run,) = runs(uri, "cell")
    assert run.info.status == "FINISHED"
    assert points(uri, run) == [(1, 2.0), (2, 1.0)]


def test_a_search_whose_machine_died_is_gone_on_with(uri: str) -> None:
    dead = opened(uri, alone=True)
    lose(dead, uri)
    started = time.monotonic()
    with opened(uri, alone=True) as ledger:
        assert time.monotonic() - started >= FAST.silent_s
        assert ledger.claim([cell()]).mine == [cell()]
    assert {run.info.status for run in runs(uri, "driver")} == {"KILLED"}


def test_a_search_that_a_driver_elsewhere_leads_is_refused_once_that_one_is_seen_to_live(
    uri: str,
) -> None:
    patient = dataclasses.replace(FAST, silent_s=30.0)
    with opened(uri, alone=True) as leader:
        assert leader._open is not None
        move_away(uri, leader._open.driver.id)
        started = time.monotonic()
        with pytest.raises(SweepError, match=r"led by another driver \(host 'far', process 7\)"):
            opened(uri, pace=patient, alone=True)
        assert time.monotonic() - started < 10
        assert sorted(run.info.status for run in runs(uri, "driver")) == ["KILLED", "RUNNING"]


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Remote:
    """A store with the record of a driver on another machine; away when told so."""

    beat, away, uri = "1", False, ""

    def get(self, run_id: str) -> RunRecord:
        if self.away:
            raise StoreAwayError("away")
        tags = {"raymm.beat": self.beat, "raymm.place": "elsewhere", "raymm.process": "1:1"}
        return RunRecord(run_id, "", "RUNNING", False, 0, None, tags, {}, {})


def test_silence_counts_only_while_it_is_watched_and_the_store_answers() -> None:
    clock, store = Clock(), Remote()
    pace = Pace(beat_s=5, lease_s=30, silent_s=60, gap_s=20)
    watch = Watch(store, pace, clock)  # type: ignore[arg-type]

    def looks(start: int, end: int) -> list[bool]:
        answers = []
        for clock.now in range(start, end, 10):
            answers.append(watch.lives("a"))
        return answers

    assert looks(0, 60) == [True] * 6 and looks(60, 70) == [False]
    store.beat = "2"
    assert looks(70, 130) == [True] * 6 and looks(130, 140) == [False]
    assert looks(1000, 1060) == [True] * 6  # not watched meanwhile
    store.away = True
    clock.now = 1065
    with pytest.raises(StoreAwayError):
        watch.lives("a")
    store.away = False
    assert looks(1070, 1130) == [True] * 6 and looks(1130, 1140) == [False]


def test_a_wall_clock_that_jumps_changes_nothing(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(10**6, -(10**9), -(10**5)))
    monkeypatch.setattr("raymm.sweep.drivers.time.time", lambda: float(next(jumps)))
    with opened(uri) as first:
        first.start(cell())
        with opened(uri, "other") as other:
            until = time.monotonic() + 1.5 * FAST.silent_s
            while time.monotonic() < until:
                assert other.claim([cell()]).elsewhere.keys() == {"key1"}
                time.sleep(0.1)


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    assert not process_gone(this_process())
    assert process_gone(f"{os.getpid()}:1")
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    process.start()
    assert process.pid is not None
    deadline = time.monotonic() + 10
    while not process_gone(f"{process.pid}:") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.join()


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_what_another_living_driver_has_given_up_or_failed(uri: str, status: Any) -> None:
    with opened(uri) as first, opened(uri, "other") as other:
        first.start(cell())
        first.end(result(cell(), status, "why"))
        assert first.flush(5)
        granted = other.claim([cell()])
        failed = [(each.status, each.reason) for each in granted.ended.values()]
        assert failed == ([("failed", "why")] if status == "failed" else [])
        first.settle(5)
        assert other.claim([cell()]).mine == [cell()]


def test_what_a_driver_has_it_keeps(uri: str) -> None:
    with opened(uri) as ledger, opened(uri, "other") as other:
        assert ledger.claim(CELLS[:2]).mine == CELLS[:2]
        assert other.claim(CELLS).mine == CELLS[2:]
        assert ledger.claim(CELLS).mine == CELLS[:2]


def test_what_somebody_has_cleaned_up_is_not_waited_for(uri: str) -> None:
    with opened(uri) as first:
        train(first, cell())
    store: Any = MlflowClient(uri)._tracking_client.store
    for kind in ("driver", "cell"):
        for run in runs(uri, kind):
            store.delete_run(run.info.run_id)
            store._hard_delete_run(run.info.run_id)  # what `mlflow gc` calls
    with opened(uri) as ledger:
        assert ledger.claim([cell()]).mine == [cell()]
        train(ledger, cell())
    (run,) = runs(uri, "cell")
    assert (run.info.status, points(uri, run)) == ("FINISHED", [(1, 2.0), (2, 1.0)])
