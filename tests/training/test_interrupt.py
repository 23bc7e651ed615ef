"""A pool that has broken down ends the wait of the main thread, and promises nothing of its cells."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from raymm.sweep.interrupt import Interrupts
from raymm.training.interrupt import BROKEN_DOWN, interrupt_main_thread


def interrupt_from_a_thread() -> None:
    thread = threading.Thread(target=interrupt_main_thread)
    thread.start()
    thread.join()


def wait_until_interrupted() -> None:
    interrupt_from_a_thread()
    time.sleep(5)


def test_a_sweep_is_told_to_stop_without_a_word_on_cells_that_finish(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Interrupts() as interrupts:
        interrupt_from_a_thread()
        assert interrupts.stopping.wait(5)
        assert capfd.readouterr().err == ""
        with pytest.raises(KeyboardInterrupt):  # the second ends it at once, as Ctrl-C would
            wait_until_interrupted()
    assert signal.getsignal(BROKEN_DOWN) is signal.SIG_DFL


def test_ctrl_c_still_says_what_running_cells_do(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.stopping.is_set()
    assert "running cells finish their epoch" in capfd.readouterr().err


@pytest.fixture
def nobody_listens() -> Iterator[None]:
    """Signals as a new process has them: what ran here before may have left handlers of its own."""
    usual = {signal.SIGINT: signal.default_int_handler, BROKEN_DOWN: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("nobody_listens")
def test_where_nobody_listens_for_it_the_wait_ends_as_by_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        wait_until_interrupted()
