"""Cells of several kinds in one sweep, on a cluster that has room for one worker group at a time."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from rich.console import Console

from raymm.config import CellConfig, TrainConfig
from raymm.sweep.cells import Cell
from raymm.sweep.dealing import EachOnce
from raymm.sweep.grid import GridSettings
from raymm.sweep.ledger import Ledger
from raymm.sweep.opening import open_record
from raymm.sweep.plan import Sweep
from raymm.sweep.progress import ProgressView, Standing
from raymm.sweep.record import Recorder
from raymm.sweep.runner import Job, train
from raymm.training.pool import PoolSettings
from tests.sweep.small import dataset
from tests.training.strange_cells import PLAIN

TRAIN = "tests.training.strange_cells:train"


def cell(number: int) -> Cell:
    return Cell(f"c{number}", CellConfig(train=TrainConfig(seed=10 * number + PLAIN)))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_kinds_of_cells_take_turns_where_only_one_fits(tmp_path: Path, uri: str) -> None:
    """Groups of two workers and groups of one, each of which take the whole cluster of 2 CPUs: the
    second kind begins when the first has no more cells, and no trial holds what they wait for."""
    cells = [cell(number) for number in range(6)]
    sweep = Sweep(
        name="kinds", settings=GridSettings(), dataset=dataset(), cells=cells, finished={},
        folder=tmp_path, ledger=Ledger(uri, "small"),
    )  # fmt: skip
    standing = Standing(cells, {each.key: 1.0 for each in cells})
    recorder = Recorder(sweep, standing, ProgressView(standing, Console(quiet=True)))
    jobs = [
        Job(
            PoolSettings(workers=workers, cpus=cpus, storage=str(tmp_path / "cells"), train=TRAIN),
            EachOnce(own),
            expected=len(own),
        )
        for workers, cpus, own in ((2, 1.0, cells[:3]), (1, 2.0, cells[3:]))
    ]
    with sweep.ledger:
        open_record(sweep)
        train(sweep, jobs, recorder, Event())
        sweep.ledger.close_sweep("FINISHED")
        assert sweep.ledger.settle(60)
    assert [standing.ended[each.key].status for each in cells] == ["finished"] * 6
    sizes = [standing.ended[each.key].metrics["world_size"] for each in cells]
    assert sizes == [2.0] * 3 + [1.0] * 3
