"""What a training takes of the machine."""

from __future__ import annotations

import ctypes
import resource
import time
from pathlib import Path

import torch

from raymm.training.sizes import GIB

MEGABYTE = 1e6
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next step instead of giving it back (glibc).

    Each step allocates the same large arrays again; getting them from the system page by page, zeroed,
    costs time at every step on the CPU.
    """
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(_MMAP_THRESHOLD, _MOST)
        allocator.mallopt(_TRIM_THRESHOLD, _MOST)


def reset_peak_memory(device: torch.device) -> None:
    """Start a new peak; a warm worker's memory of earlier cells must not count for the next."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_memory_gib(device: torch.device) -> float:
    """Peak since the reset: allocated GPU memory, or this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


class Usage:
    """What this process takes of the machine, under names that MLflow shows as system metrics."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def since(self) -> dict[str, float]:
        """Since it was last asked: CPU in per cent of one CPU; memory in megabytes, now or, of a
        GPU, at most since the peak's reset."""
        wall, cpu = time.perf_counter(), time.process_time()
        share = (cpu - self._cpu) / max(wall - self._wall, 1e-9)
        self._wall, self._cpu = wall, cpu
        used = {
            "system/process_cpu_percentage": 100 * share,
            "system/process_memory_megabytes": _resident_megabytes(),
        }
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device) / MEGABYTE
            used["system/gpu_memory_megabytes"] = peak
        return used


def _resident_megabytes() -> float:
    """Memory of this process that is in RAM; where the system does not say, the most it had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
