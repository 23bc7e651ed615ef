"""How far each cell of a sweep is, before the sweep is run. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal, get_args

from raymm.errors import SweepError
from raymm.storage.address import open_address, without_credentials, words
from raymm.sweep.drivers import seems_alive
from raymm.sweep.plan import Sweep
from raymm.sweep.tags import DRIVER
from raymm.tracking import GoneError, RunRecord, Store

State = Literal["finished", "resumable", "running", "failed", "new"]
STATES: tuple[State, ...] = get_args(State)


def cell_states(sweep: Sweep) -> dict[str, State]:
    """The state that each cell had when the sweep was prepared, by key.

    finished: nothing is left to do. running: with a driver that seems to live.
    failed: it will be tried again. resumable: it was interrupted, and goes on from a checkpoint.
    new: it begins from the start.

    Raises:
        TrackingError: the ledger cannot be read.
        SweepError: the storage cannot be read.
    """
    alive: dict[str, bool] = {}
    states: dict[str, State] = {}
    for cell in sweep.cells:
        run = sweep.runs.get(cell.key)
        if cell.key in sweep.finished:
            states[cell.key] = "finished"
        elif run is not None and _is_running(run, sweep.ledger.store, alive):
            states[cell.key] = "running"
        elif run is not None and run.status == "FAILED":
            states[cell.key] = "failed"
        else:
            states[cell.key] = "new"
    rest = [key for key, state in states.items() if state == "new"]
    return states | dict.fromkeys(with_checkpoint(sweep.storage, rest), "resumable")


def _is_running(run: RunRecord, store: Store, alive: dict[str, bool]) -> bool:
    driver = run.tags.get(DRIVER)
    if run.status != "RUNNING" or driver is None:
        return False
    if driver not in alive:
        try:
            alive[driver] = seems_alive(store.get(driver), time.time())
        except GoneError:
            alive[driver] = False
    return alive[driver]


def with_checkpoint(storage: str, keys: Iterable[str]) -> list[str]:
    """Those of the cells whose folder holds a checkpoint, whole or not, or a result.

    Args:
        storage: root of the cells' folders.
    """
    try:
        fs, root = open_address(storage)
        if not fs.isdir(root):
            return []
        folders = {_last(path) for path in fs.ls(root, detail=False)}
        return [
            key
            for key in keys
            if key in folders and any(map(_is_left, fs.ls(f"{root}/{key}", detail=False)))
        ]
    except OSError as error:
        raise SweepError(
            f"--storage {without_credentials(storage)} cannot be read: {words(error)}. Give the "
            "folder or s3:// address of the cells."
        ) from error


def _last(path: str) -> str:
    return str(path).rstrip("/").rsplit("/", 1)[-1]


def _is_left(path: str) -> bool:
    return _last(path).startswith("epoch_") or _last(path) == "result.json"
