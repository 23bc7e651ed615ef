"""The dispatcher's promises, without Ray: coroutines of one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from raymm.config import CellConfig
from raymm.training.dispatch import MICRO_BATCHES, Dispatcher, Outcome, Task
from raymm.training.task import Cause
from raymm.training.watchdog import Beat

T = TypeVar("T")


def task(key: str) -> Task:
    return Task(key, CellConfig())


async def soon(call: Awaitable[T]) -> T:
    return await asyncio.wait_for(call, timeout=1)


async def waits(call: Awaitable[object]) -> bool:
    """Whether the call is still waiting after the loop has had its turns."""
    future = asyncio.ensure_future(call)
    for _ in range(20):
        await asyncio.sleep(0)
    waiting = not future.done()
    future.cancel()
    return waiting


async def outcome_of(dispatcher: Dispatcher, key: str) -> Outcome:
    sight = await soon(dispatcher.watch(key, 10**6, True))
    assert sight.outcome is not None
    return sight.outcome


def test_every_rank_gets_the_same_task_and_none_the_next_before_it_is_done() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=3)
        for key in ("a", "b"):
            await dispatcher.submit(task(key))
        for _rank in range(2):
            assert await soon(dispatcher.next_task(0, "x", 0)) == task("a")
        assert await waits(dispatcher.next_task(0, "x", 1))  # rank 1 is ahead of rank 0
        await dispatcher.finish("a", "x", {"m": 1.0})
        assert await soon(dispatcher.next_task(0, "x", 1)) == task("b")
        await dispatcher.finish("b", "x", {})
        assert await soon(dispatcher.next_task(0, "x", 2)) is None

    asyncio.run(scene())


def test_a_cell_submitted_twice_is_trained_once() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=2, expected=2, max_attempts=3)
        await dispatcher.submit(task("a"))
        await dispatcher.submit(task("a"))
        assert await soon(dispatcher.next_task(0, "x", 0)) == task("a")
        assert await waits(dispatcher.next_task(1, "y", 0))  # one more is still expected

    asyncio.run(scene())


def test_another_group_goes_on_with_the_cell_of_a_dead_one() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=2, expected=1, max_attempts=3)
        await dispatcher.submit(task("a"))
        await soon(dispatcher.next_task(0, "x", 0))
        assert await dispatcher.report("a", "x", {"epoch": 1.0})
        assert await dispatcher.group_died(0, "killed")
        assert await soon(dispatcher.next_task(1, "y", 0)) == task("a")
        assert not await dispatcher.report("a", "x", {"epoch": 2.0})  # a survivor of the dead group
        for epoch in (1.0, 2.0):  # it tells again what it takes up
            assert await dispatcher.report("a", "y", {"epoch": epoch})
        assert [e["epoch"] for e in (await dispatcher.watch("a", 0, True)).epochs] == [1, 2]
        await dispatcher.finish("a", "x", {"stale": 1.0})
        await dispatcher.finish("a", "y", {"fresh": 1.0})
        outcome = await outcome_of(dispatcher, "a")
        assert outcome.metrics == {"fresh": 1.0}
        assert outcome.attempts == 2
        assert await soon(dispatcher.next_task(0, "z", 0)) is None

    asyncio.run(scene())


@pytest.mark.parametrize("told", [True, False])
def test_a_cell_that_keeps_killing_its_group_fails_and_the_queue_goes_on(told: bool) -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=2)
        for key in ("poison", "b"):
            await dispatcher.submit(task(key))
        for incarnation in ("x", "y"):
            assert await soon(dispatcher.next_task(0, incarnation, 0)) == task("poison")
            if told:  # or its death is noticed only by its coming back
                assert await dispatcher.group_died(0, "signal 9")
        assert await soon(dispatcher.next_task(0, "z", 0)) == task("b")
        outcome = await outcome_of(dispatcher, "poison")
        assert outcome.status == "failed"
        assert "ended 2 times" in outcome.reason
        assert ("signal 9" in outcome.reason) == told

    asyncio.run(scene())


def test_an_error_that_may_be_a_peers_death_is_tried_again_and_kept_as_the_reason() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        await dispatcher.submit(task("a"))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.fail("a", "x", "RuntimeError: connection closed by peer", "trace", "again")
        await dispatcher.group_died(0, "rank 1 raised")
        assert await soon(dispatcher.next_task(0, "y", 0)) is None
        outcome = await outcome_of(dispatcher, "a")
        assert "connection closed by peer" in outcome.reason
        assert outcome.details == "trace"

    asyncio.run(scene())


def test_a_process_that_goes_on_after_a_passing_error_does_not_try_for_ever() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=3, pauses_s=())
        for key in ("a", "b"):
            await dispatcher.submit(task(key))
        for number in range(3):
            assert await soon(dispatcher.next_task(0, "x", number)) == task("a")
            await dispatcher.fail("a", "x", "OSError: timed out", "trace", "again", goes_on=True)
        assert await soon(dispatcher.next_task(0, "x", 3)) == task("b")
        outcome = await outcome_of(dispatcher, "a")
        assert outcome.status == "failed" and outcome.attempts == 3
        assert "3 times" in outcome.reason and "OSError: timed out" in outcome.reason

    asyncio.run(scene())


def test_a_storage_that_could_not_be_reached_gets_time_to_come_back() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=3, pauses_s=(0.2, 0.4))
        for key in ("a", "b"):
            await dispatcher.submit(task(key))
        assert await soon(dispatcher.next_task(0, "x", 0)) == task("a")
        away = ("OSError: timed out", "trace", "again", True)
        await dispatcher.fail("a", "x", *away)
        began = time.monotonic()
        assert await soon(dispatcher.next_task(0, "x", 1)) == task("b")  # others need not wait
        await dispatcher.finish("b", "x", {"m": 1.0})
        for number, pause_s in ((2, 0.2), (3, 0.4)):
            assert await soon(dispatcher.next_task(0, "x", number)) == task("a")
            assert pause_s <= time.monotonic() - began < pause_s + 0.5
            if number == 2:
                await dispatcher.fail("a", "x", *away)
                began = time.monotonic()
        await dispatcher.finish("a", "x", {"m": 1.0})
        assert (await outcome_of(dispatcher, "a")).attempts == 3
        assert await soon(dispatcher.next_task(0, "x", 4)) is None

    asyncio.run(scene())


def test_a_cell_whose_rank_the_system_killed_for_memory_is_tried_in_parts_whatever_its_peers_say() -> (
    None
):
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        await dispatcher.submit(task("a"))
        await dispatcher.beat("x", 0, Beat("node", 7, oom_kills=3))
        await dispatcher.beat("x", 1, Beat("other", 8, oom_kills=0))
        await soon(dispatcher.next_task(0, "x", 0))
        assert await dispatcher.oom_kills(0) == {"node": 3, "other": 0}
        for incarnation, parts in (("x", 1), ("y", MICRO_BATCHES)):
            dealt = await soon(dispatcher.next_task(0, incarnation, 0))
            assert dealt is not None and dealt.micro_batches == parts
            said = ("RuntimeError: connection closed by peer", "trace", "again")
            await dispatcher.fail("a", incarnation, *said)
            assert await dispatcher.group_died(0, "killed for want of memory", "memory")
        outcome = await outcome_of(dispatcher, "a")
        assert outcome.reason == (
            "out of memory, also with each step in 8 parts: killed for want of memory"
        )

    asyncio.run(scene())


def test_without_any_group_left_the_cells_fail_with_the_reason() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=2, expected=2, max_attempts=2)
        await dispatcher.submit(task("a"))
        assert await dispatcher.group_died(0, "no module")
        assert not await dispatcher.group_died(0, "no module")
        await dispatcher.group_lost(1, "controller gone")
        await dispatcher.submit(task("late"))
        for key in ("a", "late"):
            outcome = await outcome_of(dispatcher, key)
            assert outcome.reason == "no worker group could be kept running: controller gone"

    asyncio.run(scene())


def test_closing_stops_training_and_leaves_the_cell_open() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=5, max_attempts=2)
        await dispatcher.submit(task("a"))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.close()
        assert not await dispatcher.report("a", "x", {"epoch": 1.0})
        await dispatcher.finish("a", "x", {})
        assert await soon(dispatcher.next_task(0, "x", 1)) is None
        assert await waits(dispatcher.watch("a", 1, True))

    asyncio.run(scene())


def test_a_watcher_hears_of_the_start_of_new_epochs_and_of_the_end() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=2)
        await dispatcher.submit(task("a"))
        assert await waits(dispatcher.watch("a", 0, False))
        await soon(dispatcher.next_task(0, "x", 0))
        assert (await soon(dispatcher.watch("a", 0, False))).started
        assert await waits(dispatcher.watch("a", 0, True))
        await dispatcher.report("a", "x", {"epoch": 1.0})
        await dispatcher.report("a", "x", {"epoch": 2.0})
        assert (await soon(dispatcher.watch("a", 1, True))).epochs == ({"epoch": 2.0},)
        await dispatcher.finish("a", "x", {"m": 2.0})
        last = await soon(dispatcher.watch("a", 2, True))
        assert last.outcome is not None
        assert last.outcome.metrics == {"m": 2.0}

    asyncio.run(scene())


def test_a_stopped_cell_ends_after_its_epoch_and_can_be_asked_for_again() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=None, max_attempts=2)
        for key in ("a", "b"):
            await dispatcher.submit(task(key))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.stop("a")
        await dispatcher.stop("b")  # not begun: at once
        assert (await outcome_of(dispatcher, "b")).status == "stopped"
        assert not await dispatcher.report("a", "x", {"epoch": 1.0})
        assert not await dispatcher.discards("a", "x")
        await dispatcher.finish("a", "x", {})
        assert (await outcome_of(dispatcher, "a")).status == "stopped"
        await dispatcher.submit(task("a"))
        assert await soon(dispatcher.next_task(0, "x", 1)) == task("a")
        assert await dispatcher.report("a", "x", {"epoch": 2.0})
        await dispatcher.finish("a", "x", {"m": 1.0})
        assert (await outcome_of(dispatcher, "a")).metrics == {"m": 1.0}
        assert await waits(dispatcher.next_task(0, "x", 2))

    asyncio.run(scene())


def test_a_cell_that_ends_before_it_hears_that_it_is_stopped_is_finished() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=2)
        await dispatcher.submit(task("a"))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.stop("a", discard=True)
        await dispatcher.finish("a", "x", {"m": 1.0})
        assert (await outcome_of(dispatcher, "a")).status == "finished"

    asyncio.run(scene())


def test_what_a_discarded_cell_left_is_removed_by_whoever_holds_it() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=2)
        for key in ("a", "b"):
            await dispatcher.submit(task(key))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.stop("a", discard=True)
        await dispatcher.stop("b", discard=True)  # may have a checkpoint of an earlier sweep
        assert await dispatcher.group_died(0, "killed")  # before it could remove anything
        for number, key in enumerate(("a", "b")):
            again = await soon(dispatcher.next_task(0, "y", number))
            assert again is not None and again.key == key and again.discard
            assert await dispatcher.discards(key, "y")
            await dispatcher.finish(key, "y", {})
            assert (await outcome_of(dispatcher, key)).status == "stopped"

    asyncio.run(scene())


def test_a_cell_scored_on_validation_is_dealt_again_for_the_test_split() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=2, max_attempts=2)
        await dispatcher.submit(Task("a", CellConfig(), "validation"))
        await soon(dispatcher.next_task(0, "x", 0))
        await dispatcher.finish("a", "x", {"val/m": 1.0})
        await dispatcher.submit(Task("a", CellConfig(), "validation"))
        await dispatcher.submit(Task("a", CellConfig(), "test"))
        again = await soon(dispatcher.next_task(0, "x", 1))
        assert again is not None and again.score == "test"
        await dispatcher.finish("a", "x", {"m": 2.0})
        assert (await outcome_of(dispatcher, "a")).metrics == {"m": 2.0}
        assert await soon(dispatcher.next_task(0, "x", 2)) is None

    asyncio.run(scene())


def test_losing_its_node_does_not_use_up_a_cells_attempts() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        await dispatcher.submit(task("a"))
        for number, told in enumerate(("at once", "later", "when it comes back")):
            incarnation, node = f"x{number}", f"node-{number}"
            await dispatcher.beat(incarnation, 0, Beat(node, 1))
            assert await soon(dispatcher.next_task(0, incarnation, 0)) == task("a")
            if told == "at once":
                assert await dispatcher.group_died(0, "unavailable", "node")
            elif told == "later":  # the cluster learns some seconds after the workers are gone
                assert await dispatcher.group_died(0, "killed")
                await dispatcher.look({node})
            else:
                await dispatcher.look({node})
        assert await soon(dispatcher.next_task(0, "last", 0)) == task("a")
        await dispatcher.finish("a", "last", {"m": 1.0})
        outcome = await outcome_of(dispatcher, "a")
        assert (outcome.status, outcome.attempts) == ("finished", 4)

    asyncio.run(scene())


def test_a_group_whose_nodes_go_while_it_is_idle_is_not_given_up() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=2)
        for _ in range(5):
            assert await dispatcher.group_died(0, "unavailable", "node")
        assert await dispatcher.group_died(0, "no module")
        assert not await dispatcher.group_died(0, "no module")

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["process goes on", "group ends", "killed by Ray"])
def test_a_cell_without_memory_is_tried_once_more_in_parts_and_then_fails(how: str) -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        await dispatcher.submit(task("a"))
        incarnation, number = "x", 0
        for attempt, parts in enumerate((1, MICRO_BATCHES)):
            dealt = await soon(dispatcher.next_task(0, incarnation, number))
            assert dealt is not None and dealt.micro_batches == parts
            said = ("MemoryError: no", "trace", "memory", how == "process goes on")
            if how != "killed by Ray":
                await dispatcher.fail("a", incarnation, *said)
            if how == "process goes on":
                number += 1
            else:
                cause: Cause = "memory" if how == "killed by Ray" else "crash"
                assert await dispatcher.group_died(0, "MemoryError: no", cause)
                incarnation = f"y{attempt}"
        outcome = await outcome_of(dispatcher, "a")
        assert outcome.status == "failed"
        assert outcome.reason == "out of memory, also with each step in 8 parts: MemoryError: no"
        assert outcome.micro_batches == 8

    asyncio.run(scene())


def test_a_process_that_stands_still_is_named_and_its_cell_says_why() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        await dispatcher.submit(task("a"))
        await dispatcher.beat("x", 0, Beat("node", 7, "a", 5, still_s=9, limit_s=8))
        await soon(dispatcher.next_task(0, "x", 0))
        (hung,) = await dispatcher.look(set())
        assert (hung.node, hung.pid) == ("node", 7)
        assert await dispatcher.look(set()) == []
        await dispatcher.group_died(0, "signal 9")
        assert await soon(dispatcher.next_task(0, "y", 0)) is None
        outcome = await outcome_of(dispatcher, "a")
        assert "ended 1 times" in outcome.reason
        assert "rank 0 has stood still for 9 s after 5 steps" in outcome.reason

    asyncio.run(scene())


def test_whoever_sits_on_a_node_that_will_go_is_told() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher(groups=1, expected=1, max_attempts=1)
        assert not await dispatcher.beat("x", 0, Beat("spot", 7))
        await dispatcher.look({"spot"})
        assert await dispatcher.beat("x", 0, Beat("spot", 7))
        assert not await dispatcher.beat("y", 0, Beat("other", 8))

    asyncio.run(scene())
