"""`raymm status`: where a sweep stands, from another process than the one that runs it."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raymm.cli import main
from raymm.config import CellConfig
from raymm.errors import SweepError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.status import print_status, read_status
from raymm.sweep.tags import ACCELERATOR, CLUSTER, CPUS, GPU_SHARE, LEFT, WORKERS
from raymm.tracking import Store
from tests.sweep.ledgers import CURVE, cell, lose, opened, result, train

OTHER = CellConfig()
CELLS = [*(cell(seed) for seed in range(1, 6)), Cell("other", OTHER)]


def shown(uri: str, later_s: float = 0.0) -> str:
    def clock() -> float:
        return time.time() + later_s

    console = Console(width=80)
    with console.capture() as captured:
        print_status(read_status(Store(uri), "trial", clock), console, clock)
    text = captured.get()
    table = text.partition("condition")[2]
    assert all(len(line) <= 80 for line in table.splitlines())
    return text


def run_and_hang(uri: str, folder: Path, begun: Any) -> None:
    """A driver with a cell in each state."""
    os.chdir(folder)
    ledger = opened(uri, cells=CELLS)
    ledger.tell = lambda: {LEFT: "125"}
    ledger.claim(CELLS)
    train(ledger, CELLS[0])
    ledger.start(CELLS[1])
    ledger.end(result(CELLS[1], "failed", "TrainingError: the loss is nan"))
    ledger.start(CELLS[2])
    ledger.log_epochs(CELLS[2].key, CURVE)
    ledger.start(CELLS[3])
    assert ledger.flush(20)
    time.sleep(1)  # a heartbeat with the time left
    begun.set()
    time.sleep(1000)


def test_a_running_sweep_is_seen_from_outside_and_so_is_its_drivers_death(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    driver = context.Process(target=run_and_hang, args=(uri, tmp_path, begun))
    driver.start()
    assert begun.wait(60)
    text = shown(uri)
    assert "trial  running: 1 of 6 cells finished, about 2 min 5 s left" in text
    assert f"process {driver.pid}, last heartbeat" in text
    rows = {line.split("  ")[0]: line.split()[2:] for line in text.splitlines() if " S=" in line}
    epochs = dataclasses.asdict(OTHER.train)["epochs"]
    assert rows["mca S=0.4"] == ["1", "2", "(epoch", f"2/{epochs},", f"0/{epochs})", "1", "1"]
    assert rows["mca S=0"] == ["0", "-", "-", "1"]
    assert "mca S=0.4 seed=2 failed: TrainingError: the loss is nan" in text
    assert "it may be gone" in shown(uri, later_s=3600)

    driver.kill()
    driver.join()
    text = shown(uri)
    assert "trial  interrupted: 1 of 6" in text and "Its driver is gone" in text
    assert "to resume" in text and "running" not in text.partition("condition")[0]

    assert main(["status", "trial", "--tracking-uri", uri]) == 0
    assert "Its driver is gone" in capsys.readouterr().out
    assert main(["status", "trail", "--tracking-uri", uri]) == 1
    assert "did you mean 'trial'?" in capsys.readouterr().err


def test_cells_of_a_driver_that_has_been_silent_for_long_elsewhere_do_not_count_as_running(
    uri: str,
) -> None:
    ledger = opened(uri, cells=CELLS[:1])
    ledger.start(CELLS[0])
    assert ledger.flush(10)
    lose(ledger, uri)
    text = shown(uri)
    assert "trial  running" in text and "(epoch 0/" in text
    text = shown(uri, later_s=3600)
    assert "trial  interrupted" in text and "it may be gone" in text
    (row,) = [line for line in text.splitlines() if line.startswith("mca S=0.4")]
    assert row.split()[2:] == ["0", "-", "-", "-", "1"]  # to resume


def test_a_sweep_that_has_ended_has_no_driver(uri: str) -> None:
    with opened(uri, cells=CELLS[:1]) as ledger:
        train(ledger, CELLS[0])
        ledger.close_sweep("FINISHED")
        assert ledger.settle(10)
    text = shown(uri)
    assert "trial  finished: 1 of 1 cells finished" in text
    assert "driver" not in text


def test_an_unknown_sweep_is_told_with_the_nearest(uri: str) -> None:
    with pytest.raises(SweepError, match=r"no sweep 'x' in the ledger: Known: \(none\)"):
        read_status(Store(uri), "x")


HOW = {ACCELERATOR: "A10G", WORKERS: "2", CPUS: "4", GPU_SHARE: "1", CLUSTER: "true"}
TOOK = {"time/train_s": 1800.0, "memory/peak_gib": 20.5, "parameters": 1_000_000.0}


def test_memory_time_cost_and_storage_of_a_running_sweep_are_those_of_its_finished_cells(
    uri: str,
) -> None:
    cells = [cell(seed) for seed in (1, 2, 3)]
    ledger = opened(uri, cells=cells, how=HOW)
    ledger.start(cells[0])
    ledger.end(CellResult(cells[0].config, "digits", cells[0].key, "finished", metrics=TOOK))
    ledger.start(cells[1])
    epochs = cells[1].config.train.epochs
    ledger.log_epochs(cells[1].key, [{"epoch": float(e), "loss/train": 1.0} for e in range(1, 3)])
    assert ledger.flush(10)
    text = shown(uri)
    (row,) = [line.split() for line in text.splitlines() if line.startswith("mca  ")]
    assert row[:4] == ["mca", "1,000,000", "20.50", "GiB"] and row[-1] == "yes"
    words = " ".join(text.split())
    assert "2 worker(s) with 1 A10G and 4 CPU(s) each" in words
    used_h = 2 * 0.5 * (1 + 2 / epochs)
    assert f"{used_h:.2g} of about 3 GPU-hours" in words
    # Of machines that hold both workers, g5.12xlarge costs least: 5.672 for four GPUs.
    assert f"{used_h * 1.418:,.2f} / " in words and f"{3 * 1.418:,.2f} / " in words
    assert "on g5.12xlarge fully used" in words
    assert "6.0 MB of weights in the end, 32.0 MB of checkpoints now" in words
    ledger.abandon("done")


def test_cells_on_another_kind_of_gpu_cost_what_that_costs(uri: str) -> None:
    cells = [cell(seed) for seed in (1, 2)]
    with opened(uri, cells=cells, how=HOW) as ledger:
        for each, gpu in zip(cells, ("A10G", "A100"), strict=True):
            ledger.start(each, {ACCELERATOR: gpu})
            ledger.end(CellResult(each.config, "digits", each.key, "finished", metrics=TOOK))
        assert ledger.flush(10)
        text = shown(uri)
    (row,) = [line.split() for line in text.splitlines() if line.startswith("mca  ")]
    assert row[-1] == "A100"
    # Half an hour each, for two workers: of four A10G (5.672), and of eight A100 (21.96).
    cost = 0.5 * 5.672 / 2 + 0.5 * 21.96 / 4
    words = " ".join(text.split())
    assert f"{cost:,.2f} / " in words and "on g5.12xlarge and p4d.24xlarge fully used" in words


def test_what_no_cell_has_shown_yet_is_not_known(uri: str) -> None:
    ledger = opened(uri, cells=[cell(1)], how={**HOW, ACCELERATOR: "CPU", CLUSTER: "false"})
    ledger.start(cell(1))
    assert ledger.flush(10)
    words = " ".join(shown(uri).split())
    assert "0 of a number not known yet of CPU worker-hours" in words
    assert "cost" not in words  # this machine costs nothing
    ledger.abandon("done")
