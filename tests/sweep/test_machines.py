"""Which places a cluster of several machines, and a job that is over, leave of use."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data.pack import pack
from raymm.errors import SweepError
from raymm.sweep.machines import check_places, file_system
from tests.sweep.small import dataset

MOUNTS = """\
overlay / overlay rw 0 0
/dev/sda1 /data ext4 rw 0 0
server:/export /data/shared nfs4 rw 0 0
tmpfs /data/shared/scratch tmpfs rw 0 0
server:/two /my\\040disk nfs rw 0 0
s3 /bucket fuse.s3fs rw 0 0
"""
STORE = "postgresql://host/mlflow"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/x", "overlay"), ("/data/x", "ext4"), ("/data", "ext4"), ("/database", "overlay"),
        ("/data/shared/x/y", "nfs4"), ("/data/shared/scratch/x", "tmpfs"), ("/my disk/x", "nfs"),
        ("/bucket/x", "fuse.s3fs"),
    ],
)  # fmt: skip
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_the_file_system_of_this_machine_is_known(tmp_path: Path) -> None:
    assert file_system(tmp_path) != "unknown"


def check(folder: Path, several: bool, **places: str) -> None:
    """Places that suit everybody, but for those that are given."""
    given = {"ledger": STORE, "storage": "s3://bucket/cells", "dataset": "digits", **places}
    check_places(**given, results=folder / "results", several=several)


def test_one_machine_may_have_everything_to_itself(tmp_path: Path) -> None:
    check(tmp_path, False, ledger="sqlite:///mlflow.db", storage=str(tmp_path))


def test_shared_places_suit_several_machines(tmp_path: Path) -> None:
    check(tmp_path, True)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"ledger": "sqlite:////abs/mlflow.db"}, "Give --tracking-uri the address of an MLflow server"),
        ({"storage": "/tmp/cells"}, "--storage /tmp/cells is a folder of this machine alone"),
        ({"storage": "file:///tmp/cells"}, "s3://bucket/folder"),
    ],
)  # fmt: skip
def test_several_machines_refuse_what_is_one_machines(
    places: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SweepError, match=said):
        check(tmp_path, True, **places)


def test_a_packed_data_set_must_be_seen_by_all(tmp_path: Path) -> None:
    pack(dataset(), str(tmp_path / "packed"))
    check(tmp_path, True, dataset=str(tmp_path))  # tables travel with the driver
    with pytest.raises(SweepError, match=r"--dataset .*packed is a folder of this machine alone"):
        check(tmp_path, True, dataset=str(tmp_path / "packed"))


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("place", ["results", "storage", "ledger"])
def test_what_a_job_would_leave_in_its_copy_of_the_folder_is_refused(
    place: str, several: bool, tmp_path: Path
) -> None:
    copy = "/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_0"
    places = {"storage": f"{copy}/cells", "ledger": f"sqlite:///{copy}/mlflow.db"}
    given = {place: places[place]} if place in places else {}
    with pytest.raises(SweepError, match="which Ray removes after the job"):
        check(Path(copy) if place == "results" else tmp_path, several, **given)
