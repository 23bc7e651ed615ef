"""Ctrl-C and SIGTERM while a sweep runs: the first ends it in good order, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from raymm.training.interrupt import BROKEN_DOWN

SIGNALS = (signal.SIGINT, signal.SIGTERM, BROKEN_DOWN)
"""A terminal's Ctrl-C; `ray job stop`, a batch system, or a container that is being stopped; a pool
of workers that has broken down."""
TUNES_OWN = "TUNE_DISABLE_SIGINT_HANDLER"
SAID = (
    "\nStopping: running cells finish their epoch and its checkpoint, and the same command goes on "
    "from there.\nCtrl-C again stops at once.\n"
)


class Interrupts:
    """A context manager that turns the first signal into a request and the second into an end.

    Attributes:
        stopping: set from the first signal on.

    Raises:
        KeyboardInterrupt: in the main thread, at the second signal.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._before: dict[int, Any] = {}
        self._tunes_own: str | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            self._before = {each: signal.signal(each, self._handle) for each in SIGNALS}
        self._tunes_own = os.environ.get(TUNES_OWN)
        os.environ[TUNES_OWN] = "1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        del os.environ[TUNES_OWN]
        if self._tunes_own is not None:
            os.environ[TUNES_OWN] = self._tunes_own

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            raise KeyboardInterrupt
        self.stopping.set()
        if number != BROKEN_DOWN:  # then no cell runs that could finish its epoch
            os.write(2, SAID.encode())  # print may be what the signal has interrupted


def end_tune() -> None:
    """Have the Tune run that this thread drives return, as if it had been interrupted."""
    if callable(signal.getsignal(signal.SIGUSR1)):  # Tune's handler, while it runs
        signal.raise_signal(signal.SIGUSR1)
