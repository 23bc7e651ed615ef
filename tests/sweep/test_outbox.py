"""The threads that record: what ends them is told, and what was cut off costs no more than itself."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raymm.errors import TrackingError
from raymm.sweep.outbox import Message, Outbox, read
from raymm.tracking import StoreAwayError
from tests.sweep.ledgers import CURVE, cell, opened


def away(message: Message) -> None:
    raise StoreAwayError("away")


def wait_for_fault(ledger_put: object) -> None:
    """Call until it raises; fails after seconds."""
    assert callable(ledger_put)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ledger_put()
        time.sleep(0.05)
    raise AssertionError("nobody has heard of it")


def test_an_unforeseen_error_of_the_outbox_is_told_to_whoever_waits_for_it(tmp_path: Path) -> None:
    def broken(message: Message) -> None:
        raise KeyError("odd")

    outbox = Outbox(tmp_path, "me", broken, retry_s=0.05)
    outbox.put({"do": "tag", "key": "key1"})
    with pytest.raises(TrackingError, match=r"'tag' of cell key1.*KeyError: 'odd'.*kept in"):
        outbox.flush(10)
    outbox.close()
    assert [message["key"] for message in read(outbox.file)] == ["key1"]


def test_an_unforeseen_error_of_the_heartbeat_stops_the_driver(uri: str) -> None:
    ledger = opened(uri)
    ledger.start(cell())

    def broken() -> dict[str, str]:
        raise RuntimeError("odd")

    ledger.tell = broken
    with pytest.raises(TrackingError, match=r"heartbeat .* ended by RuntimeError: odd"):
        wait_for_fault(lambda: ledger.log_epochs("key1", [*CURVE, {"epoch": time.time(), "a": 1}]))
    ledger.abandon("")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """A disk on which files can have that many bytes and no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_message_that_a_full_disk_has_cut_off_costs_none_after_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "me", away, retry_s=0.05)
    outbox.put({"do": "tag", "key": "first"})
    size = outbox.file.stat().st_size
    with room_for(size + 10), pytest.raises(TrackingError, match=r"cannot be kept in .*Make room"):
        outbox.put({"do": "tag", "key": "second"})
    assert outbox.file.stat().st_size == size + 10
    outbox.put({"do": "tag", "key": "third"})
    outbox.close()
    assert [message["key"] for message in read(outbox.file)] == ["first", "third"]
