"""Brings messages of the outbox to the store. Again does no harm."""

from __future__ import annotations

from raymm.sweep.claims import Claims
from raymm.sweep.drivers import Driver
from raymm.sweep.outbox import Message
from raymm.sweep.tags import CONFIG, KEY, PARENT, REASON, SWEEP
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
            points = [(name, value, step) for name, value, step in message["points"]]
            self._store.log(self._run(message), points, message["time"], message["tags"])
        elif do == "end":
            run_id = self._run(message)
            self._store.describe(run_id, {REASON: message["reason"]})
            self._store.set_status(run_id, message["status"])

    def _start(self, message: Message) -> None:
        run_id = self._claims.run_of(message["key"], message["title"])
        self._runs[message["key"]] = run_id
        there = self._store.get(run_id)
        kept = OF_ITS_MAKER if KEY in there.tags else set()
        tags = {name: value for name, value in message["tags"].items() if name not in kept}
        self._store.describe(run_id, tags, {} if there.params else message["params"])
        self._store.set_status(run_id, "RUNNING")

    def _run(self, message: Message) -> str:
        key = message["key"]
        if key not in self._runs:
            self._runs[key] = self._claims.run_of(key, key)
        return self._runs[key]
