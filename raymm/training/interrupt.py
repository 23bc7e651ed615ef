"""How a pool that has broken down wakes the main thread, which may wait for cells."""

from __future__ import annotations

import _thread
import signal

BROKEN_DOWN = signal.SIGUSR2
"""What whoever handles interrupts hears instead of Ctrl-C: there is nothing left to finish, and the
reason is said by whoever leaves the pool."""


def interrupt_main_thread() -> None:
    """Interrupt the main thread: with `BROKEN_DOWN` where that is handled, else as Ctrl-C does."""
    handled = callable(signal.getsignal(BROKEN_DOWN))
    _thread.interrupt_main(BROKEN_DOWN if handled else signal.SIGINT)
