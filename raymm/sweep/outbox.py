"""The outbox: what is to be recorded, in order, kept until the store has it.

Each message is in memory and in a file of the results folder before anything is tried, so a store
that is away for minutes holds nothing up, and a driver that is killed meanwhile loses nothing:
the next one sends what it finds. Delivering a message twice must change nothing; messages carry
their time for that.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from raymm.errors import TrackingError
from raymm.tracking import StoreAwayError

Message = dict[str, Any]
PREFIX, SUFFIX = "unsent-", ".jsonl"
RETRY_S = 2.0


class Outbox:
    """Messages on their way to the store, sent by a thread of its own.

    Args:
        folder: where the file of unsent messages lies.
        driver: names the file.
        deliver: sends one message. StoreAwayError: it is tried again; any other TrackingError
            stops the outbox, and is raised by the next `put` or `flush`.
    """

    def __init__(
        self,
        folder: Path,
        driver: str,
        deliver: Callable[[Message], None],
        retry_s: float = RETRY_S,
    ) -> None:
        self.file = folder / f"{PREFIX}{driver}{SUFFIX}"
        self._deliver, self._retry_s = deliver, retry_s
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._away: tuple[float, StoreAwayError] | None = None
        self._fault: TrackingError | None = None
        self._cut_off = False
        self._thread = threading.Thread(target=self._send, daemon=True, name="outbox")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Messages that the store does not have yet."""
        return len(self._waiting)

    @property
    def away_s(self) -> float | None:
        """For how long the store has been away; None while it answers."""
        away = self._away
        return None if away is None else time.monotonic() - away[0]

    @property
    def trouble(self) -> str:
        """What is in the way of sending, in the store's words; empty if nothing is."""
        fault = self._fault or (self._away and self._away[1])
        return str(fault or "")

    def put(self, message: Message) -> None:
        """Add a message. Does not wait.

        Raises:
            TrackingError: an earlier message was refused, or the file cannot be written.
        """
        with self._changed:
            self._check()
            try:
                with self.file.open("a") as file:
                    file.write("\n" * self._cut_off + json.dumps(message) + "\n")
                self._cut_off = False
            except OSError as error:
                self._cut_off = True  # a part of the line may be there: the next begins its own
                raise TrackingError(
                    f"What is to be recorded cannot be kept in {self.file}: {error}. Make room or "
                    "mend --results-dir; the same command goes on from there."
                ) from error
            self._waiting.append(message)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is sent; False if it was not in time.

        Raises:
            TrackingError: a message was refused.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: not self._waiting or self._fault, timeout_s)
            self._check()
            return bool(done)

    def close(self) -> None:
        """Send no more. What is not sent stays in the file."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(self._retry_s)

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _send(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
                message = self._waiting[0] if self._waiting else None
            if message is not None and not self._closing.is_set():
                self._try(message)

    def _try(self, message: Message) -> None:
        try:
            self._deliver(message)
        except StoreAwayError as error:
            began = self._away[0] if self._away else time.monotonic()
            self._away = (began, error)
            self._closing.wait(self._retry_s)
            return
        except TrackingError as error:
            self._give_up(error)
            return
        except Exception as error:  # of a thread that ends nobody would hear
            fault = TrackingError(
                f"A record ('{message.get('do')}' of cell {message.get('key')}) cannot be sent: "
                f"{type(error).__name__}: {error}. This is a fault of raymm. What is not recorded "
                f"is kept in {self.file}."
            )
            fault.__cause__ = error
            self._give_up(fault)
            return
        self._away = None
        with self._changed:
            self._waiting.popleft()
            if not self._waiting:
                self.file.unlink(missing_ok=True)
            self._changed.notify_all()

    def _give_up(self, fault: TrackingError) -> None:
        with self._changed:
            self._fault = fault
            self._closing.set()
            self._changed.notify_all()


def left_behind(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of unsent messages in a folder, each with the id of the driver that wrote it."""
    for file in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        yield file.name.removeprefix(PREFIX).removesuffix(SUFFIX), file


def read(file: Path) -> list[Message]:
    """The messages of a file; one that was cut off is left out."""
    messages: list[Message] = []
    for line in file.read_bytes().splitlines():
        try:
            messages.append(json.loads(line))
        except ValueError:
            continue
    return messages
