"""Brings messages of the outbox to the store. Again does no harm."""

from __future__ import annotations

from raymm.sweep.claims import Claims
from raymm.sweep.drivers import Driver
from raymm.sweep.outbox import Message
from raymm.sweep.tags import CONFIG, CURVE, KEY, PARENT, SWEEP
from raymm.tracking import Store

OF_ITS_MAKER = {SWEEP, PARENT, CONFIG}
"""A cell's run belongs to the sweep that made it, and keeps the address its data had then."""


class Delivery:
    """How each kind of message is brought to the store.

    Args:
        parent: the sweep's run.
    """

    def __init__(self, store: Store, driver: Driver, claims: Claims, parent: str) -> None:
        self._store, self._driver, self._claims, self._parent = store, driver, claims, parent
        self._runs: dict[str, str] = {}
        self._curves: dict[str, str] = {}

    def __call__(self, message: Message) -> None:
        """Bring one message.

        Raises:
            StoreAwayError: it may succeed later.
            TrackingError: it never will; or another driver has taken over this one's cells.
        """
        if self._driver.in_doubt:
            self._driver.beat()
        do = message["do"]
        if do == "close":
            self._store.set_status(self._parent, message["status"])
        elif do == "start":
            self._start(message)
        elif do == "tag":
            self._store.describe(self._run(message), message["tags"])
        elif do == "points":
            self._points(message)
        elif do == "end":
            self._log(message)
            self._store.set_status(self._run(message), message["status"])
            self._curves.pop(message["key"], None)

    def _start(self, message: Message) -> None:
        run_id, there = self._claims.run_of(message["key"], message["title"])
        self._runs[message["key"]] = run_id
        kept = OF_ITS_MAKER if there and KEY in there.tags else set()
        tags = {name: value for name, value in message["tags"].items() if name not in kept}
        self._store.describe(run_id, tags, {} if there and there.params else message["params"])
        if there:
            self._store.set_status(run_id, "RUNNING")

    def _points(self, message: Message) -> None:
        """Epochs. Which curves to look for is said before any of their points is there."""
        key, curves = message["key"], message["tags"][CURVE]
        if self._curves.get(key) != curves:
            self._store.describe(self._run(message), {CURVE: curves})
            self._curves[key] = curves
        self._log(message)

    def _log(self, message: Message) -> None:
        points = [(name, value, step) for name, value, step in message["points"]]
        self._store.log(self._run(message), points, message["time"], message["tags"])

    def _run(self, message: Message) -> str:
        key = message["key"]
        if key not in self._runs:
            self._runs[key], _ = self._claims.run_of(key, key)
        return self._runs[key]
