"""Hosts of a network of their own on this machine: network namespaces on a bridge (Linux, as root).

Each has an address and no way to the others but the bridge, to which its cable can be pulled. Files and
processors are shared. What runs outside, on the bridge's own address, all hosts reach.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Host:
    """A host: commands run on it see its network alone."""

    name: str
    address: str
    cable: str

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: IO[str]
    ) -> subprocess.Popen[str]:
        """Start a command there."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env={**os.environ, **environment}, stdout=log, stderr=log, text=True, cwd="/tmp",
        )  # fmt: skip

    def pull_the_cable(self) -> None:
        """Cut it off: nothing arrives, and nobody is told."""
        ip("link", "set", self.cable, "down")

    def plug_it_in(self) -> None:
        """Undo that."""
        ip("link", "set", self.cable, "up")


@dataclass(frozen=True)
class Network:
    """Hosts, and the bridge that joins them."""

    address: str
    hosts: tuple[Host, ...]


def why_not() -> str:
    """Why namespaces cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces are for root to make"
    if shutil.which("ip") is None:
        return "ip is not here: apt-get install iproute2"
    name = f"rm{os.getpid()}"
    made = [
        "ip link add {0} type bridge",
        "ip link del {0}",
        "ip netns add {0}",
        "ip netns del {0}",
    ]
    for command in made:
        said = subprocess.run(command.format(name).split(), capture_output=True, text=True)
        if said.returncode:
            return f"{command.format(name)}: {said.stderr.strip()}"
    return ""


@contextmanager
def network(count: int) -> Iterator[Network]:
    """A network of so many hosts; goes when it is left, with all that runs on the hosts."""
    number = os.getpid() % 10_000
    bridge, subnet = f"rmb{number}", f"10.213.{number % 250}"
    hosts = tuple(
        Host(f"rm{number}-{i}", f"{subnet}.{i + 1}", f"rmv{number}-{i}") for i in range(count)
    )
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", f"{subnet}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for host in hosts:
            ip("netns", "add", host.name)
            ip("link", "add", host.cable, "type", "veth", "peer", "eth0", "netns", host.name)
            ip("link", "set", host.cable, "master", bridge, "up")
            inside = ("-n", host.name)
            ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip(*inside, "link", "set", "lo", "up")
            ip(*inside, "link", "set", "eth0", "up")
            # Ray asks which of its addresses leads away.
            ip(*inside, "route", "add", "default", "via", f"{subnet}.254")
        yield Network(f"{subnet}.254", hosts)
    finally:
        for host in hosts:
            if Path("/run/netns", host.name).exists():
                for pid in ip("netns", "pids", host.name).split():
                    subprocess.run(["kill", "-9", pid], capture_output=True)
                ip("netns", "del", host.name)
        if Path("/sys/class/net", bridge).exists():
            ip("link", "del", bridge)


def ip(*arguments: str) -> str:
    """iproute2's command."""
    said = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if said.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {said.stderr.strip()}")
    return said.stdout
