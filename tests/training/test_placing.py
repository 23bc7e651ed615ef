"""What fits where, shares of GPUs among it, and folders that outlive nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raymm.errors import ConfigError
from raymm.training.placing import Room, check_gpu_share, room_for, workers_that_fit
from raymm.training.pool import PoolSettings
from raymm.training.scratch import scratch_folder


@pytest.mark.parametrize(
    ("gpus", "share", "workers"),
    [(1, 0.5, 2), (1, 0.1, 10), (1, 0.6, 1), (2, 0.6, 2), (4, 0.25, 16), (3, 1, 3)],
)
def test_shares_of_a_gpu_are_each_of_one_gpu(gpus: int, share: float, workers: int) -> None:
    node = {"CPU": 64.0, "GPU": float(gpus)}
    assert workers_that_fit([node], {"CPU": 1, "GPU": share}) == workers


def test_cpus_may_be_shared_in_tenths() -> None:
    assert workers_that_fit([{"CPU": 1.0}, {"CPU": 0.3}], {"CPU": 0.1}) == 13


CPU = {"CPU": 1.0}


def nodes(*cpus: int) -> list[dict[str, float]]:
    return [{"CPU": float(each)} for each in cpus]


@pytest.mark.parametrize(
    ("workers", "have", "groups", "one_node"),
    [
        (1, (2, 2), 4, False),  # one worker is on one node anyway
        (2, (2, 2), 2, True),
        (2, (3, 3), 2, True),  # three would fit if one were on two nodes
        (4, (4, 1, 1, 1, 1), 1, True),  # half of what fits
        (2, (2, 1, 1, 1, 1), 3, False),  # a third: the single ones would stand idle
        (2, (1, 1), 1, False),  # nowhere else
        (4, (2, 1), 0, False),
    ],
)
def test_workers_of_a_group_are_on_one_node_where_that_leaves_not_most_nodes_idle(
    workers: int, have: tuple[int, ...], groups: int, one_node: bool
) -> None:
    assert room_for(workers, nodes(*have), CPU) == Room(groups, one_node)


def test_larger_nodes_that_may_come_are_asked_for() -> None:
    """Eight single GPUs and four machines with four of them, as in cluster/aws.yaml."""
    one, four = {"CPU": 8.0, "GPU": 1.0}, {"CPU": 48.0, "GPU": 4.0}
    needs = {"CPU": 1.0, "GPU": 1.0}
    assert room_for(4, nodes(0), needs, [(one, 8), (four, 4)]) == Room(4, True)
    assert room_for(4, nodes(0), needs, [(one, 8)]) == Room(2, False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpus": 0.5, "gpu": "A10G", "workers": 2}, "NCCL"),
        ({"gpus": 0.5}, "no --gpu is asked for"),
        ({"gpus": 0.0, "gpu": "any"}, "out of range"),
        ({"gpus": 2.0, "gpu": "any"}, "out of range"),
    ],
)
def test_shares_that_cannot_be_had_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PoolSettings(storage="cells", **settings)  # type: ignore[arg-type]


def test_a_share_is_what_a_worker_asks_ray_for() -> None:
    check_gpu_share(0.25, 1, "A10G")
    pool = PoolSettings(storage="cells", gpu="A10G", gpus=0.25)
    assert pool.resources() == {"CPU": 1.0, "GPU": 0.25}
    assert PoolSettings(storage="cells").resources() == {"CPU": 1.0}


def test_a_scratch_folder_goes_with_its_process_or_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os; from raymm.training.scratch import scratch_folder\n"
        "with scratch_folder('tune') as name:\n"
        "    open(name + '/file', 'w').close(); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment)
    (left,) = tmp_path.iterdir()
    assert (left / "file").exists()
    (tmp_path / "raymm-notes").mkdir()  # somebody's own
    with scratch_folder("train") as mine, scratch_folder("tune") as other:
        assert {path.name for path in tmp_path.iterdir()} == {
            Path(mine).name, Path(other).name, "raymm-notes",
        }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["raymm-notes"]
