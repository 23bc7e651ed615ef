"""Who hangs: judged by progress, not by how long anything takes."""

from __future__ import annotations

from collections.abc import Iterator, Set

import pytest

from raymm.training.pulse import MOVING, Movement, Pulse
from raymm.training.watchdog import BLIND_S, Beat, Hung, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def waited(
    clock: Clock, dog: Watchdog, seconds: float, at_work: Set[str] = frozenset("x")
) -> dict[str, list[str]]:
    """Look every second; what hangs at the end, as "pid: reason"."""
    found: dict[str, list[Hung]] = {}
    for _ in range(int(seconds)):
        clock.now += 1
        found |= dog.hung(at_work)
    return {name: [f"{h.pid}: {h.reason}" for h in hung] for name, hung in found.items()}


def beat(pid: int, count: int, still_s: float = 0.0, cell: str = "a") -> Beat:
    return Beat("node", pid, cell, count, still_s, 10.0)


def test_a_process_without_a_sign_of_life_hangs_whatever_the_others_do() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 1, beat(1, 7))
    for _ in range(3):
        dog.beat("x", 0, beat(0, 8))
        assert waited(clock, dog, 3) == {}
    dog.beat("x", 0, beat(0, 8))
    assert waited(clock, dog, 3) == {"x": ["1: rank 1 has given no sign of life for 11 s"]}
    dog.beat("x", 0, beat(0, 8))
    assert waited(clock, dog, 9) == {}  # said once
    dog.beat("x", 0, beat(0, 8))
    assert list(waited(clock, dog, 2)) == ["x"]  # but again if it is still there


def test_of_ranks_that_all_stand_still_those_behind_hang() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 0, beat(10, 8, still_s=20))
    dog.beat("x", 1, beat(11, 7, still_s=20))
    dog.beat("x", 2, beat(12, 7, still_s=20))
    (found,) = waited(clock, dog, 1).values()
    assert [line.split(":")[0] for line in found] == ["11", "12"]


def test_one_rank_that_moves_is_enough_and_one_that_rests_does_not_count() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 0, beat(10, 8, still_s=1))
    dog.beat("x", 1, beat(11, 7, still_s=50))
    assert waited(clock, dog, 2) == {}
    dog.beat("x", 0, beat(10, 0, cell=""))
    dog.beat("x", 1, beat(11, 7, still_s=50))
    assert list(waited(clock, dog, 1)) == ["x"]


def test_a_group_that_waits_for_a_cell_may_wait_for_ever() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 0, Beat("node", 1))
    assert waited(clock, dog, 1000, at_work=frozenset()) == {}


def test_a_process_that_stopped_before_it_named_its_cell_hangs_too() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 0, Beat("node", 1, limit_s=10.0))
    assert waited(clock, dog, 10) == {}
    assert list(waited(clock, dog, 1)) == ["x"]


def test_a_watchdog_that_was_stopped_itself_blames_nobody() -> None:
    clock = Clock()
    dog = Watchdog(clock)
    dog.beat("x", 0, beat(1, 7))
    clock.now += BLIND_S + 100
    assert dog.hung({"x"}) == {}
    dog.beat("x", 0, beat(1, 9))
    assert waited(clock, dog, 5) == {}


def still(pulse: Pulse, movement: Movement, times: Iterator[tuple[float, float]]) -> list[float]:
    return [movement.look(pulse, now, used) for now, used in times]


def test_among_steps_only_steps_are_progress() -> None:
    pulse, movement = Pulse(), Movement()
    with pulse.steps():
        pulse.tick()
        busy = ((100.0 + n, 50.0 + n) for n in range(4))
        assert still(pulse, movement, busy) == [0, 1, 2, 3]
        pulse.tick()
        assert movement.look(pulse, 104.0, 54.0) == 0


@pytest.mark.parametrize(("used", "expected"), [(0.5, [0, 0, 0]), (0.01, [0, 1, 2])])
def test_elsewhere_and_before_the_first_step_work_is_progress(
    used: float, expected: list[float]
) -> None:
    pulse, movement = Pulse(), Movement()
    times = [(100.0 + n, used * n) for n in range(3)]
    with pulse.steps():  # the first step sets up much
        assert still(pulse, movement, iter(times)) == expected


@pytest.mark.parametrize(
    ("a_second", "expected"), [(MOVING, [0, 0, 0, 0]), (MOVING // 4, [0, 1, 2, 3])]
)
@pytest.mark.parametrize("in_steps", [False, True])
def test_a_slow_storage_is_progress_without_processor_time(
    in_steps: bool, a_second: int, expected: list[float]
) -> None:
    pulse, movement = Pulse(), Movement()
    with pulse.steps():
        pulse.tick()
        pulse.in_steps = in_steps  # a batch that is loaded, or a checkpoint between the epochs
        looks = [movement.look(pulse, 100.0 + n, 0.01 * n, n * a_second) for n in range(4)]
    assert looks == expected


def test_the_longest_step_is_measured_and_what_lies_between_epochs_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("raymm.training.pulse.time.monotonic", clock)
    pulse = Pulse()
    for _epoch in range(2):
        with pulse.steps():
            for seconds in (9.0, 3.0, 2.0):  # the first sets up much
                clock.now += seconds
                pulse.tick()
        assert not pulse.in_steps
        clock.now += 100.0
    assert (pulse.longest_s, pulse.count) == (3.0, 6)
