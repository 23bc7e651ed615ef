"""What a node says of itself. Imports torch, so only where it is asked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGES = ("raymm", "torch", "ray", "numpy", "pandas", "pyarrow", "scikit-learn", "fsspec", "s3fs")
SHARED_MEMORY = Path("/dev/shm")
GIB = 2**30
NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=name,mig.mode.current,ecc.errors.uncorrected.volatile.total",
    "--format=csv,noheader",
)


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """The GPUs of a node, as torch and the driver see them.

    Attributes:
        names: of the GPUs that torch sees.
        capabilities: compute capability of each, as "8.6".
        driver: the driver's rows of name, MIG mode and uncorrected memory errors; none without it.
        built_for: the architectures that torch was compiled for, as "sm_86" or "compute_90".
        nccl: NCCL's version; empty if torch has none.
        apart: pairs of GPUs that cannot write to each other's memory.
        trouble: what torch said when it was asked.
    """

    names: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    driver: Sequence[Sequence[str]] = ()
    built_for: Sequence[str] = ()
    nccl: str = ""
    apart: Sequence[tuple[int, int]] = ()
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A node, at one time.

    Attributes:
        node: its name for a person.
        versions: of Python and what decides numbers; "raymm's source" is a hash of its files.
        time_s: its clock, seconds since 1970.
        shared_memory_gib: size of /dev/shm.
        gpus_promised: GPUs that Ray deals out there.
        storage: what became of the attempt to write and read the storage; empty if it went well.
    """

    node: str
    versions: Mapping[str, str]
    time_s: float
    shared_memory_gib: float
    gpus_promised: float = 0.0
    gpus: GpuFacts = field(default_factory=GpuFacts)
    storage: str = ""


def node_facts(storage: str | None, gpus_promised: float = 0.0) -> NodeFacts:
    """What there is to say of this node.

    Args:
        storage: root of the cells' folders, to be tried; None to leave it out.
    """
    shared = shutil.disk_usage(SHARED_MEMORY).total / GIB if SHARED_MEMORY.exists() else 0.0
    return NodeFacts(
        node=socket.gethostname(),
        versions=versions(),
        time_s=time.time(),
        shared_memory_gib=shared,
        gpus_promised=gpus_promised,
        gpus=gpu_facts(),
        storage=_tried(storage) if storage is not None else "",
    )


def versions() -> dict[str, str]:
    """Versions by name; a package that is not there is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, "raymm's source": source_digest()}


def source_digest() -> str:
    """A hash of raymm's own files: two checkouts may have the same version."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def gpu_facts() -> GpuFacts:
    """The GPUs of this machine, looked at in this process."""
    import torch

    driver = _driver_rows()
    if not torch.cuda.is_available():
        trouble = _asked(torch.cuda.init) if driver else ""
        return GpuFacts(driver=driver, trouble=trouble)
    count = torch.cuda.device_count()
    pairs = [(a, b) for a in range(count) for b in range(count) if a < b]
    return GpuFacts(
        names=[torch.cuda.get_device_name(i) for i in range(count)],
        capabilities=[
            ".".join(map(str, torch.cuda.get_device_capability(i))) for i in range(count)
        ],
        driver=driver,
        built_for=torch.cuda.get_arch_list(),
        nccl=_nccl_version(),
        apart=[pair for pair in pairs if not torch.cuda.can_device_access_peer(*pair)],
        trouble=_asked(lambda: torch.zeros(8, device="cuda").sum().item()),
    )


def _nccl_version() -> str:
    import torch

    if not torch.distributed.is_nccl_available():
        return ""
    nccl: Any = torch.cuda.nccl  # torch leaves it untyped
    return ".".join(map(str, nccl.version()))


def _driver_rows() -> list[list[str]]:
    """A row for each GPU that the driver knows."""
    try:
        said = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[each.strip() for each in line.split(",")] for line in said.stdout.splitlines()]


def _asked(ask: Callable[[], object]) -> str:
    """What went wrong; empty if nothing did."""
    try:
        ask()
    except (RuntimeError, AssertionError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""


def _tried(storage: str) -> str:
    from raymm.errors import RaymmError
    from raymm.sweep.places import check_storage

    try:
        check_storage(storage)
    except RaymmError as error:
        return str(error)
    return ""
