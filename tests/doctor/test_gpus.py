"""What GPUs cannot do, judged by what nodes say of them."""

from __future__ import annotations

import dataclasses

import pytest

from raymm.doctor.facts import GpuFacts, NodeFacts, gpu_facts
from raymm.doctor.finding import Finding
from raymm.doctor.gpus import check_gpus, runs_on

WELL = GpuFacts(
    names=("NVIDIA A10G",) * 4,
    capabilities=("8.6",) * 4,
    driver=(("NVIDIA A10G", "[N/A]", "0"),) * 4,
    built_for=("sm_80", "sm_86", "sm_90"),
    nccl="2.27.5",
)


def checked(promised: float = 4, **changes: object) -> list[Finding]:
    gpus = dataclasses.replace(WELL, **changes)  # type: ignore[arg-type]
    node = NodeFacts(
        node="one", versions={}, time_s=0, shared_memory_gib=8, gpus_promised=promised, gpus=gpus
    )
    return check_gpus([node])


def test_four_that_do_all_they_should() -> None:
    (found,) = checked()
    assert found.level == "fine" and "4 x NVIDIA A10G" in found.text
    assert "nothing speaks against NCCL" in found.text


def test_a_machine_without() -> None:
    node = NodeFacts(node="one", versions={}, time_s=0, shared_memory_gib=8)
    assert [each.level for each in check_gpus([node])] == ["fine"]
    (found,) = check_gpus([node], may_come=True)
    assert found.level == "note" and "none was asked" in found.text
    assert "CPUs" not in found.text and "NCCL" not in found.text


def test_gpus_that_are_there_are_told_of_though_more_may_come() -> None:
    node = NodeFacts(node="one", versions={}, time_s=0, shared_memory_gib=8, gpus=WELL)
    assert check_gpus([node], may_come=True) == check_gpus([node])


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        ({"names": (), "capabilities": (), "trouble": "driver too old"}, "wrong", "driver too old"),
        ({"promised": 8}, "wrong", "Ray deals out 8"),
        ({"trouble": "CUDA error"}, "wrong", "CUDA error"),
        ({"built_for": ("sm_90",)}, "wrong", "no code for a NVIDIA A10G"),
        ({"nccl": ""}, "wrong", "no NCCL"),
        ({"driver": (("NVIDIA A100", "Enabled", "0"),) * 4}, "wrong", "MIG"),
        ({"driver": (("NVIDIA A10G", "[N/A]", "3"),) * 4}, "wrong", "memory error"),
        ({"names": ("NVIDIA A10G",) * 3 + ("NVIDIA L4",)}, "note", "several kinds"),
        ({"apart": ((0, 1), (2, 3))}, "note", "0-1, 2-3"),
    ],
)
def test_each_thing_that_may_be_wrong(changes: dict[str, object], level: str, said: str) -> None:
    found = checked(**changes)  # type: ignore[arg-type]
    assert level in [each.level for each in found if said in each.text]
    assert all(each.remedy for each in found)


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [
        (["sm_86"], "8.6", True), (["sm_80"], "8.6", True), (["sm_89"], "8.6", False),
        (["sm_80"], "9.0", False), (["compute_80"], "9.0", True), (["compute_90"], "8.6", False),
        (["sm_100a"], "10.0", True), (["sm_90a"], "9.0", True), ([], "8.6", False),
    ],
)  # fmt: skip
def test_what_code_runs_where(built_for: list[str], capability: str, runs: bool) -> None:
    assert runs_on(built_for, capability) == runs


def test_this_machine_is_looked_at() -> None:
    facts = gpu_facts()
    assert len(facts.names) == len(facts.capabilities)
