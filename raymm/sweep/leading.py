"""Leading a sweep alone: of several drivers only one may choose what is trained next."""

from __future__ import annotations

import time
from collections.abc import Callable

from raymm.errors import SweepError
from raymm.sweep.claims import Claims
from raymm.sweep.drivers import Pace, pulse, who
from raymm.tracking import Store


def lead(
    store: Store, claims: Claims, key: str, name: str, pace: Pace, say: Callable[[str], None]
) -> None:
    """Wait until whoever leads a sweep is known to live or to be dead; take its place if dead.

    A driver on another machine is seen to be dead only by a heartbeat that stands still while
    it is watched, and seen to live by one that moves.

    Args:
        key: of the sweep, as it is claimed.
        name: of the sweep.
        say: hears in one line what is waited for.

    Raises:
        SweepError: another driver, which lives, leads it.
    """
    # Three times as long as silence has to last: looks that a slow store delays begin it anew.
    until = time.monotonic() + 3 * pace.silent_s
    taken, there = claims.take([key]), ""
    while taken.others and time.monotonic() < until:
        now = pulse(other := store.get(taken.others[key]))
        if there and now != there:
            break
        if not there:
            say(f"waiting to see whether the driver that leads '{name}' ({who(other)}) lives")
        there = now
        time.sleep(min(1.0, pace.beat_s))
        taken = claims.take([key])
    for dead in taken.dead:
        claims.bury(dead)
    if taken.others:
        other = store.get(taken.others[key])
        raise SweepError(
            f"'{name}' is led by another driver ({who(other)}), and only one can choose what "
            "is trained next. Wait until it has ended, and give the same command again; or "
            "give another --name."
        )
