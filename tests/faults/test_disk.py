"""A full disk: said clearly, and what was written before is whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from raymm.errors import TrainingError
from raymm.training.checkpoint import Checkpoint, CheckpointStore
from raymm.training.loop import train_cell
from raymm.training.state import EpochReport, Training
from tests.faults import cells

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system cannot be mounted here: needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def at(epoch: int, mib: float) -> Checkpoint:
    weights = {"a": torch.full((int(mib * MIB / 4),), float(epoch))}
    return Checkpoint(epoch, {"weights": weights}, {"epoch": epoch})


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_and_no_half(
    small_disk: Path,
) -> None:
    store = CheckpointStore(str(small_disk / "cell"))
    store.save(at(1, mib=1.5))
    with pytest.raises(TrainingError, match=r"epoch 2 could not be written.*No space.*--storage"):
        store.save(at(2, mib=2.5))
    assert [path.name for path in (small_disk / "cell").iterdir()] == ["epoch_00001"]
    found = store.newest()
    assert found is not None and found.epoch == 1
    with pytest.raises(TrainingError, match="final weights could not be written"):
        store.finish({"a": torch.zeros(MIB)}, {"metrics": {}})
    assert store.newest() is not None
    assert store.result() is None


def test_a_training_goes_on_from_there_once_there_is_space(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, config = cells.digits(), cells.cell()
    calm = cells.calm(config, tmp_path / "calm", dataset)
    trained: list[int] = []
    original = Training.run_epoch

    def run_epoch(training: Training) -> EpochReport:
        report = original(training)
        trained.append(report.epoch)
        return report

    monkeypatch.setattr(Training, "run_epoch", run_epoch)

    def train(fill_at: int = 0) -> dict[str, float]:
        def on_epoch(report: EpochReport) -> bool:
            if report.epoch == fill_at:
                (small_disk / "others").write_bytes(b"x" * (3 * MIB - used(small_disk) - 20_000))
            return True

        return train_cell(
            config,
            dataset,
            storage=str(small_disk / "cell"),
            device=torch.device("cpu"),
            on_epoch=on_epoch,
            checkpoint_interval_s=0,
        )

    with pytest.raises(TrainingError, match="The checkpoint of epoch 3 could not be written"):
        train(fill_at=2)
    (small_disk / "others").unlink()
    assert cells.without_times(train()) == pytest.approx(calm, abs=1e-6)
    assert trained == [1, 2, 3, 3, 4]


def used(folder: Path) -> int:
    """Bytes of a tmpfs that are taken, page by page."""
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return sum(-(-size // 4096) * 4096 for size in sizes)


LIMITED = """
import resource, sys
from pathlib import Path
from raymm.errors import TrainingError
from tests.faults.test_disk import at
from raymm.training.checkpoint import CheckpointStore
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
store = CheckpointStore(sys.argv[1])
store.save(at(1, mib=0.5))
try:
    store.save(at(2, mib=1.5))
except TrainingError as error:
    print(error)
print(store.newest().epoch)
"""


def test_a_file_that_may_not_grow_is_told_alike(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "cell")]
    root = Path(__file__).parent.parent.parent
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "The checkpoint of epoch 2 could not be written" in said.stdout
    assert "File too large" in said.stdout
    assert said.stdout.splitlines()[-1] == "1"
