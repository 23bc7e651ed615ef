"""Signs of life of a training: what a watchdog sees of it, and what it may ask for. Knows no Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

WORKING = 0.1
"""Share of a processor that a rank outside its steps uses at least if it works at all."""
MOVING = 64 * 1024
"""Bytes a second that a rank moves at least if it loads or stores something. Its signs of life, and
what Ray tells of a process, take far less."""


class Pulse:
    """Counts what a rank has done. The training's thread writes it, the heart's thread reads it.

    Attributes:
        count: pieces of work done so far: steps of training, batches of validation.
        longest_s: the longest of them, but for the first of a row, which sets up much.
        in_steps: whether the rank is among them. Elsewhere (reading data, the first step with all
            it sets up, a checkpoint, a probe) processor time it uses counts as progress, too.
        hurry: set from outside: the machine will soon go, so keep a checkpoint after each epoch.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self.in_steps = False
        self.hurry = False
        self._last = 0.0

    def tick(self) -> None:
        """One more piece of work is done."""
        now = time.monotonic()
        if self.in_steps:
            self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self.count += 1
        self.in_steps = True

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Pieces of work follow one after the other."""
        self._last = time.monotonic()
        try:
            yield
        finally:
            self.in_steps = False


class Movement:
    """How long a rank has stood still, by its pulse, its processor time and what it reads and writes.

    Reading and writing are progress everywhere: a batch is loaded inside the steps, and a slow
    storage takes next to no processor time. A rank that waits for another one moves nothing.

    Call `look` every second or so, from a thread of the rank's own process.
    """

    def __init__(self) -> None:
        self._pulse: Pulse | None = None
        self._count = -1
        self._looked = self._moved = self._used = 0.0
        self._bytes = 0

    def look(self, pulse: Pulse, now: float, used: float, moved: int = 0) -> float:
        """Seconds since the last progress.

        Args:
            now: seconds of a monotonic clock.
            used: processor seconds of this process.
            moved: bytes that this process has read and written.
        """
        elapsed = now - self._looked
        worked = used - self._used >= WORKING * elapsed
        carried = elapsed > 0 and moved - self._bytes >= MOVING * elapsed
        if (
            pulse is not self._pulse
            or pulse.count != self._count
            or (worked and not pulse.in_steps)
            or carried
        ):
            self._moved = now
        self._pulse, self._count, self._looked, self._used = pulse, pulse.count, now, used
        self._bytes = moved
        return now - self._moved
