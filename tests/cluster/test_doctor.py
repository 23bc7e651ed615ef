"""The doctor asks clusters whose nodes go, and clusters whose nodes have not come yet."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.head import Head
from benchmarks.local_cluster import LocalCluster, descendants, kill, raylets
from raymm.doctor.asking import ask_all
from raymm.training.cluster import connected

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

TYPES = {"a10g": {"resources": {"CPU": 1, "GPU": 1, "accelerator_type:A10G": 1}, "max_workers": 2}}


def test_a_node_that_is_lost_meanwhile_is_told_and_the_others_are_heard() -> None:
    with LocalCluster(2) as cluster, connected(cluster.address):
        assert [len(each) for each in ask_all(None)] == [3, 0]
        for raylet in raylets(cluster.nodes[0]):  # and the head has not noticed yet
            for pid in (raylet, *descendants(raylet)):
                kill(pid)
        answers, (silent,) = ask_all(None, timeout_s=60.0)
        assert len(answers) == 2 and silent.why


def test_from_zero_no_gpu_has_been_asked_and_the_agents_port_is_named(tmp_path: Path) -> None:
    with Head(node_types=TYPES) as head:
        command = [sys.executable, "-m", "raymm.cli", "doctor", "--address", head.address]
        said = subprocess.run(
            command, cwd=tmp_path, env=head.environment, capture_output=True, text=True
        ).stdout
    assert "GPUs: no node with a GPU is up, so none was asked" in said, said
    assert "cells are trained on CPUs" not in said and "nodes: 1 answered" in said
    (port,) = re.findall(r"jobs \(agent\) \(port (\d+)\) listens", said)
    assert int(port) != 52365  # where this head's agent really is
