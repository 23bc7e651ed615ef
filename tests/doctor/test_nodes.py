"""What does not fit together among nodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from raymm.doctor.asking import Answer, Silent
from raymm.doctor.facts import NodeFacts, node_facts, source_digest, versions
from raymm.doctor.nodes import (
    check_answered,
    check_clocks,
    check_shared_memory,
    check_versions,
    check_writable,
)

NODE = NodeFacts(node="one", versions={"ray": "2.60.0"}, time_s=100.0, shared_memory_gib=8.0)


def answer(skew_s: float = 0.0, journey_s: float = 0.1, **facts: object) -> Answer:
    said = dataclasses.replace(NODE, time_s=100.0 + skew_s, **facts)  # type: ignore[arg-type]
    return Answer(said, 100.0 - journey_s / 2, 100.0 + journey_s / 2)


def test_versions_that_differ_are_named() -> None:
    other = answer(versions={"ray": "2.59.0", "torch": "2.13.0"})
    (found,) = check_versions(NODE, [answer(), other])
    assert found.level == "wrong"
    assert "ray 2.59.0 (driver: 2.60.0)" in found.text
    assert "torch 2.13.0 (driver: missing)" in found.text


@pytest.mark.parametrize(
    ("skew_s", "journey_s", "level"),
    [
        (0.0, 0.1, "fine"), (0.9, 0.1, "fine"), (-1.5, 0.1, "note"), (1.5, 0.1, "note"),
        (1.5, 3.0, "fine"),  # the journey may account for it
        (400.0, 0.1, "wrong"), (-400.0, 0.1, "wrong"),
    ],
)  # fmt: skip
def test_clocks(skew_s: float, journey_s: float, level: str) -> None:
    (found,) = check_clocks([answer(skew_s, journey_s)])
    assert found.level == level
    if level != "fine":
        assert ("ahead" in found.text) == (skew_s > 0)


def test_storage_that_a_node_cannot_write_is_wrong(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    facts = node_facts(str(taken))
    (found,) = check_writable(str(taken), [Answer(facts, 0.0, 0.0)])
    assert found.level == "wrong" and "cannot be written" in found.text
    assert node_facts(str(tmp_path / "folder")).storage == ""


def test_little_shared_memory_is_wrong() -> None:
    (found,) = check_shared_memory([answer(shared_memory_gib=64 / 1024), answer()])
    assert found.level == "wrong" and "64 MiB" in found.text


def test_a_change_of_the_source_is_a_change_of_versions() -> None:
    assert versions()["raymm's source"] == source_digest()


def test_a_node_that_did_not_answer_is_wrong() -> None:
    assert [each.level for each in check_answered([answer()], [])] == ["fine"]
    (found,) = check_answered([answer()], [Silent("10.0.0.7", "nothing in 120 s")])
    assert found.level == "wrong" and found.remedy
    assert found.text == "10.0.0.7 did not answer: nothing in 120 s"
