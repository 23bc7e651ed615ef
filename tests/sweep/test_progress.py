"""What a person sees: 80 columns in a terminal, plain lines in a file."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from raymm.config import CellConfig, DataConfig, TrainConfig
from raymm.sweep.cells import Cell, CellResult, Status
from raymm.sweep.progress import ProgressView, Standing, duration


def cells(number: int) -> list[Cell]:
    return [
        Cell(
            f"key{i}",
            CellConfig(data=DataConfig(sparsity=0.4), train=TrainConfig(epochs=10, seed=i)),
        )
        for i in range(number)
    ]


def standing(number: int = 4) -> Standing:
    return Standing(cells(number), {f"key{i}": 1.0 for i in range(number)})


def result(number: int, status: Status = "finished", auprc: float = 0.5) -> CellResult:
    metrics = {"probe/auprc": auprc} if status == "finished" else {}
    reason = "" if status == "finished" else "TrainingError: not finite"
    cell = cells(number + 1)[number]
    return CellResult(cell.config, "small", cell.key, status, reason, metrics)


def test_the_counts_add_up() -> None:
    now = standing()
    now.start("key0")
    now.start("key1")
    now.end(result(0))
    now.end(result(2, "failed"))
    assert (len(now.running), now.waiting) == (1, 1)
    assert (now.count("finished"), now.count("failed")) == (1, 1)


def test_the_best_is_the_highest_main_metric_and_counts_earlier_runs_of_the_sweep() -> None:
    now = standing()
    assert now.best() is None
    now.end(result(0, auprc=0.4))
    now.done_before = [result(3, auprc=0.9)]
    best = now.best()
    assert best is not None
    assert (best[0].key, best[1]) == ("key3", "probe/auprc")


def test_the_time_left_follows_the_work_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("raymm.sweep.progress.time.monotonic", lambda: clock[0])
    now = Standing(cells(2), {"key0": 3.0, "key1": 1.0})
    assert now.left_s() is None
    now.start("key0")
    assert now.left_s() is None
    clock[0] += 10
    now.epochs("key0", 1, 5)  # half of three quarters
    assert now.left_s() == pytest.approx(10 * (4 - 1.5) / 1.5)
    now.end(result(0))
    assert now.left_s() == pytest.approx(10 / 3)


def test_epochs_that_a_checkpoint_spared_do_not_speed_up_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("raymm.sweep.progress.time.monotonic", lambda: clock[0])
    now = Standing(cells(1), {"key0": 1.0})
    clock[0] = 1.0
    now.start("key0")
    clock[0] = 11.0
    now.epochs("key0", 9, 9)  # resumed after the 8th of 10
    assert now.left_s() == pytest.approx(10)


def test_the_board_fits_eighty_columns_and_says_it_all() -> None:
    now = standing(12)
    for number in range(10):
        now.start(f"key{number}")
    now.epochs("key1", 1, 3)
    now.end(result(0, auprc=0.812))
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
    view = ProgressView(now, console)
    with console.capture() as captured:
        console.print(view.board())
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert re.match(r"1 of 12 done   9 running   2 waiting   0 failed +about .* left", lines[0])
    assert any("mca S=0.4 seed=1" in line and "epoch 3/10" in line for line in lines)
    assert "and 1 more" in "".join(lines)
    assert lines[-1].startswith("best so far: probe/auprc 0.812  mca S=0.4 seed=0")


def test_a_file_gets_one_plain_line_for_each_cell() -> None:
    file = io.StringIO()
    now = standing(2)
    with ProgressView(now, Console(file=file)) as view:
        for ended in (result(0), result(1, "failed")):
            now.start(ended.key)
            now.end(ended)
            view.ended(ended)
    assert file.getvalue().splitlines() == [
        "[1/2] mca S=0.4 seed=0 finished probe/auprc=0.500",
        "[2/2] mca S=0.4 seed=1 failed: TrainingError: not finite",
    ]


def test_a_terminal_is_left_with_the_failures_only() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, record=True)
    now = standing(2)
    with ProgressView(now, console) as view:
        for ended in (result(0), result(1, "failed")):
            now.end(ended)
            view.ended(ended)
    shown = console.export_text()
    assert "[2/2] mca S=0.4 seed=1 failed: TrainingError: not finite" in shown
    assert "[1/2]" not in shown


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (4.4, 60, 200, 7500)] == [
        "4 s", "1 min 0 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
