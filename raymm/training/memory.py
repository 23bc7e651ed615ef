"""Telling whether there was not enough memory: by an error, or by what the system has counted.

Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

HOST_ALLOCATOR = ("can't allocate memory", "not enough memory")
"""What torch's CPU allocators say, in a plain RuntimeError."""
NODE_LOW = ("running low on memory", "memory usage threshold")
"""What Ray says of a process that it killed so that the node would not run out of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a process had too little memory: on its GPU, or on the host."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"}:  # Python's; torch's and Ray's own
        return True
    ran_out = any(words in str(error) for words in HOST_ALLOCATOR)
    return isinstance(error, RuntimeError) and ran_out


def is_killed_for_memory(error: BaseException) -> bool:
    """Whether Ray killed a process because its node was about to run out of memory."""
    return is_out_of_memory(error) or any(words in str(error) for words in NODE_LOW)


def oom_kills(root: Path = Path("/")) -> int:
    """Processes that the system has killed so far for want of memory, as far as it tells (Linux).

    Counted are those of this process's control group, which is what a container's limit kills; where
    there is none, those of the whole machine. A process that is killed so gets a plain SIGKILL, and
    nobody is told why.

    Args:
        root: of the file system.
    """
    for file in (*_of_control_groups(root), root / "proc/vmstat"):
        try:
            lines = [line.split() for line in file.read_text().splitlines()]
        except OSError:
            continue
        counts = [int(count) for name, count, *_ in filter(_is_pair, lines) if name == "oom_kill"]
        if counts:
            return counts[0]
    return 0


def _is_pair(words: list[str]) -> bool:
    return len(words) == 2


def _of_control_groups(root: Path) -> list[Path]:
    """The files in which this process's memory control group counts, of versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            groups = root / "sys/fs/cgroup/memory"
            # In a container its own group is the root of what is mounted there.
            found += [
                groups / path.lstrip("/") / "memory.oom_control",
                groups / "memory.oom_control",
            ]
        elif not controllers:
            groups = root / "sys/fs/cgroup"
            found += [groups / path.lstrip("/") / "memory.events", groups / "memory.events"]
    return found
