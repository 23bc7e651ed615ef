"""The sign of life that a worker process gives, from a thread beside its training."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import ray
from ray.exceptions import RayError

from raymm.training.dispatch import Handle
from raymm.training.memory import oom_kills
from raymm.training.pulse import Movement, Pulse
from raymm.training.traffic import Traffic
from raymm.training.watchdog import Beat, WatchSettings

ANSWER_TIMEOUT_S = 30.0


class Heart:
    """Tells the dispatcher every few seconds how far this process is.

    Args:
        incarnation: of its group.
        rank: in it.
    """

    def __init__(
        self, dispatcher: Handle, incarnation: str, rank: int, settings: WatchSettings
    ) -> None:
        self._dispatcher, self._settings = dispatcher, settings
        self._incarnation, self._rank = incarnation, rank
        self._node = ray.get_runtime_context().get_node_id()
        self._movement, self._traffic = Movement(), Traffic()
        self._work: tuple[str, Pulse] | None = None
        self._still = threading.Event()

    def __enter__(self) -> Heart:
        self._beat()
        threading.Thread(target=self._run, name="raymm-heart", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._still.set()

    def works_on(self, cell: str) -> Pulse:
        """A pulse for a cell that is now begun."""
        pulse = Pulse()
        self._work = (cell, pulse)
        return pulse

    def rests(self) -> None:
        """The process waits for a cell: nothing is expected of it."""
        self._work = None

    def _run(self) -> None:
        while not self._still.wait(self._settings.beat_s):
            try:
                self._beat()
            except RayError:
                continue  # the dispatcher is away or gone: the training's own calls will tell

    def _beat(self) -> None:
        work = self._work
        floor_s = self._settings.floor_s
        beat = Beat(self._node, os.getpid(), limit_s=floor_s, oom_kills=oom_kills())
        if work is not None:
            cell, pulse = work
            used, moved = time.process_time(), self._traffic.bytes()
            still = self._movement.look(pulse, time.monotonic(), used, moved)
            limit = max(floor_s, self._settings.factor * pulse.longest_s)
            beat = replace(beat, cell=cell, count=pulse.count, still_s=still, limit_s=limit)
        call = self._dispatcher.beat.remote(self._incarnation, self._rank, beat)
        hurry = bool(ray.get(call, timeout=ANSWER_TIMEOUT_S))
        if work is not None:
            work[1].hurry = hurry
