"""A real cluster is asked, and what does not answer is told."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from raymm.doctor.asking import ask_all, gather
from raymm.doctor.facts import node_facts, versions
from raymm.doctor.nodes import check_versions

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_a_cluster_is_asked(tmp_path: Path) -> None:
    before = time.time()
    (said,), silent = ask_all(str(tmp_path / "storage"))
    assert silent == []
    assert said.facts.storage == "" and said.facts.versions == versions()
    assert before <= said.facts.time_s <= time.time() and abs(said.skew_s) < 1
    assert said.answered_s - said.asked_s < 5  # no process was started meanwhile
    assert said.facts.shared_memory_gib > 0 and os.listdir(tmp_path / "storage") == []
    assert check_versions(node_facts(None), [said])[0].level == "fine"


def test_a_node_that_takes_too_long_is_told() -> None:
    answers, (silent,) = ask_all(None, timeout_s=0.0)
    assert answers == [] and silent.why == "nothing in 0 s" and silent.node


def fails() -> None:
    raise ModuleNotFoundError("No module named 'torch'")


def test_calls_that_fail_are_told_beside_those_that_do_not() -> None:
    calls: dict[str, Any] = {
        "well": ray.remote(num_cpus=0)(lambda: "well"),
        "fails": ray.remote(num_cpus=0)(fails),
        "dies": ray.remote(num_cpus=0, max_retries=0)(lambda: os._exit(1)),
    }
    before = time.time()
    said, failed = gather({name: call.remote() for name, call in calls.items()}, 60.0)
    ((words, at),) = said.values()
    assert words == "well" and before <= at <= time.time()
    assert failed["fails"] == "ModuleNotFoundError: No module named 'torch'"
    assert "died" in failed["dies"], failed


def test_nothing_is_waited_for_longer_than_said() -> None:
    hangs: Any = ray.remote(num_cpus=0)(lambda: time.sleep(600))
    sent = {str(number): hangs.remote() for number in range(3)}
    begin = time.monotonic()
    said, failed = gather(sent, 1.0)
    assert time.monotonic() - begin < 2  # together, not each
    assert said == {} and failed == dict.fromkeys(sent, "nothing in 1 s")
    for call in sent.values():
        ray.cancel(call, force=True)
