"""What a process reads and writes, as the system counts it (Linux): files, pipes and connections."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

IO = Path("/proc/self/io")
DESCRIPTORS = Path("/proc/self/fd")
COUNTED = ("rchar", "wchar", "read_bytes")
"""Read and written by calls, and read in by memory maps."""
ACKED_AND_RECEIVED = 120
"""Where `struct tcp_info` has tcpi_bytes_acked and tcpi_bytes_received (linux/tcp.h)."""


class Traffic:
    """Counts the bytes that this process moves. `/proc/self/io` alone knows nothing of what goes
    through a connection by send and recv, as all that goes to an object store does."""

    def __init__(self) -> None:
        self._of_connections = 0
        self._last: dict[str, int] = {}

    def bytes(self) -> int:
        """Bytes moved so far; 0 where the system does not tell: then it is no sign of progress.

        What a connection moves between the last look and its end is not counted.
        """
        connections = dict(_connections())
        for name, moved in connections.items():
            self._of_connections += max(0, moved - self._last.get(name, 0))
        self._last = connections
        return self._of_connections + _of_files()


def _of_files() -> int:
    try:
        lines = IO.read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split(": ", 1) for line in lines)
    return sum(int(sizes[name]) for name in COUNTED)


def _connections() -> list[tuple[str, int]]:
    """This process's TCP connections by their inodes, and what each has moved."""
    try:
        numbers = [int(name) for name in os.listdir(DESCRIPTORS)]
    except OSError:
        return []
    found = []
    for number in numbers:
        try:
            inode = os.readlink(DESCRIPTORS / str(number))
            if inode.startswith("socket:"):
                found.append((inode, _moved(number)))
        except (OSError, struct.error):
            continue  # it has gone meanwhile, or is no TCP connection
    return found


def _moved(number: int) -> int:
    borrowed = socket.socket(fileno=number)
    try:
        told = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return sum(struct.unpack_from("QQ", told, ACKED_AND_RECEIVED))
    finally:
        borrowed.detach()  # it is not ours to close
