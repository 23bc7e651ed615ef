"""Which cells this driver trains, where several drivers have cells in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from raymm.sweep.cells import Cell
from raymm.sweep.ledger import Ledger
from raymm.sweep.record import Recorder
from raymm.tracking import StoreAwayError

POLL_S = 3.0
"""From one look at the cells of other drivers to the next."""
PATIENCE_S = 600.0


def train_shares(
    cells: Sequence[Cell],
    ledger: Ledger,
    recorder: Recorder,
    train: Callable[[Sequence[Cell]], None],
    stopping: threading.Event,
    poll_s: float = POLL_S,
    patience_s: float = PATIENCE_S,
) -> None:
    """Train the cells that no other driver trains, then wait for those that others train.

    A cell whose driver dies or is stopped meanwhile is trained here after all. One that fails with
    a driver that goes on is not tried again: its failure is the result.

    Args:
        train: trains cells, and returns when they have ended or the sweep is to stop.
        stopping: set when the sweep is to stop.
        patience_s: how long the store may be away while there are only others' cells to wait for;
            at the start it may not.

    Raises:
        TrackingError: the store cannot be used.
    """
    left, answered = list(cells), float("-inf")
    while left and not stopping.is_set():
        try:
            granted = ledger.claim(left)
        except StoreAwayError:
            if time.monotonic() - answered > patience_s:
                raise
            _wait(stopping, poll_s)
            continue
        for result in granted.ended.values():
            recorder.ended_elsewhere(result)
        recorder.elsewhere(granted.elsewhere)
        if granted.mine:
            train(granted.mine)
        left = [cell for cell in left if not recorder.has_ended(cell.key)]
        answered = time.monotonic()
        if left and not granted.mine:
            _wait(stopping, poll_s)


def _wait(stopping: threading.Event, seconds: float) -> None:
    """Sleep until it is time or the sweep is to stop; a signal's handler runs meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopping.wait(0.1):
        pass
