"""What a cluster asks of a sweep's places: that they outlive a job, and that all machines see them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from raymm.data.packed import is_packed
from raymm.errors import SweepError
from raymm.sweep.plan import Sweep
from raymm.tracking import SQLITE

MOUNTS = Path("/proc/mounts")
SHARED = {
    "nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "glusterfs", "beegfs", "gpfs", "wekafs",
    "orangefs", "afs", "9p", "virtiofs",
}  # fmt: skip
"""Kinds of file system that several machines may see; so may those of FUSE, but for a container's own."""
OF_ONE_MACHINE = {"fuse.fuse-overlayfs", "fuse.overlayfs", "fuse.lxcfs"}
COPY_OF_A_JOB = ("runtime_resources", "working_dir_files")
"""Ray unpacks a job's working directory in there, and removes it after the job."""


def check_cluster(sweep: Sweep) -> None:
    """Refuse places of a sweep that the connected cluster cannot do with; see `check_places`.

    Raises:
        SweepError: a place would be lost, or is not seen by all machines.
    """
    check_places(
        ledger=sweep.ledger.store.uri,
        storage=sweep.storage,
        results=sweep.folder,
        dataset=sweep.settings.dataset,
        several=several_machines(),
    )


def check_places(*, ledger: str, storage: str, results: Path, dataset: str, several: bool) -> None:
    """Refuse places that would be lost, or that not all machines of a cluster see.

    Args:
        ledger: the tracking URI.
        storage: root of the cells' folders, path or address.
        results: the sweep's folder.
        several: whether the cluster has several machines, or may get them.

    Raises:
        SweepError: a place lies in the copy of the working directory that a submitted job runs in; or
            the cluster has several machines, or may grow, and the ledger is an SQLite file, or the
            storage or a packed data set is in a folder of one machine.
    """
    in_file = ledger.startswith(SQLITE)
    _check_outlives_job("--results-dir", results.absolute())
    if in_file:
        _check_outlives_job("--tracking-uri", Path(ledger.removeprefix(SQLITE)).absolute())
    if _is_local(storage):
        _check_outlives_job("--storage", _path(storage))
    if not several:
        return
    if in_file:
        raise SweepError(
            f"The ledger {ledger} is a file of this machine, and the cluster has several, or may "
            "grow: with this machine the record of the sweep would be lost, and no other driver "
            "could go on with it. Give --tracking-uri the address of an MLflow server or of a "
            "PostgreSQL database (cluster/mlflow sets one up)."
        )
    _check_seen_by_all("--storage", storage)
    if _is_local(dataset) and is_packed(
        dataset
    ):  # others travel to the workers with the driver's copy
        _check_seen_by_all("--dataset", dataset)


def several_machines() -> bool:
    """Whether the connected cluster has more than one machine, or may get more."""
    import ray

    from raymm.training.growth import growth

    nodes: Any = ray.nodes  # Ray leaves it untyped
    machines = {node["NodeManagerAddress"] for node in nodes() if node["Alive"]}
    return len(machines) > 1 or growth() is not None


def file_system(place: Path, mounts: str | None = None) -> str:
    """The kind of file system that a path lies on, as the system calls it; "unknown" if it does not say.

    Args:
        mounts: content of /proc/mounts.
    """
    try:
        text = MOUNTS.read_text() if mounts is None else mounts
    except OSError:
        return "unknown"
    path, best, kind = os.path.realpath(place), "", "unknown"
    for line in text.splitlines():
        _, point, name = line.split(" ")[:3]
        point = point.encode().decode("unicode_escape")  # a blank is written \040
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two mounts on one point the later counts
            best, kind = point, name
    return kind


def _check_seen_by_all(what: str, address: str) -> None:
    if not _is_local(address):
        return
    kind = file_system(_path(address))
    if kind in SHARED or (kind.startswith("fuse.") and kind not in OF_ONE_MACHINE):
        return
    raise SweepError(
        f"{what} {address} is a folder of this machine alone (file system: {kind}), and the cluster "
        "has several machines, or may grow: the others would not find what lies there. Give an "
        "address of an object store such as s3://bucket/folder, or a folder that is mounted from a "
        "file server on all of them."
    )


def _is_local(address: str) -> bool:
    return "://" not in address or address.startswith(("file://", "local://"))


def _path(address: str) -> Path:
    return Path(address.partition("://")[2] or address).absolute()


def _check_outlives_job(what: str, place: Path) -> None:
    parts = place.parts
    if any(parts[i : i + 2] == COPY_OF_A_JOB for i in range(len(parts))):
        raise SweepError(
            f"{what} {place} is inside the copy of the working directory that this job runs in, "
            "which Ray removes after the job. Give an address (s3://...), or a path that begins "
            "with / and stays."
        )
