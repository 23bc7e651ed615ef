"""Whether Ray's ports are reachable from outside: whoever reaches them can run any program.

What a machine listens on is read from the kernel's table (Linux), so it is known also where a
firewall keeps this machine's own connections out.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from raymm.doctor.finding import Finding, fine, note, wrong

CHECK = "ports"
DASHBOARD, GCS, CLIENT, AGENT = "dashboard and jobs", "GCS", "Ray client", "jobs (agent)"
PORTS: Mapping[str, int] = {DASHBOARD: 8265, GCS: 6379, CLIENT: 10001, AGENT: 52365}
"""Where Ray listens unless it is told otherwise. The agent is on every node, at the node's own address:
it takes jobs for the dashboard, and runs them for whoever else asks (POST /api/job_agent/jobs/)."""
FOR_OTHER_MACHINES = (GCS, AGENT)
"""What a head cannot close to its nodes."""
LISTENS = "0A"
"""State of a listening socket in the kernel's table (include/net/tcp_states.h)."""
CONNECT_TIMEOUT_S = 3.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def listening(tables: Mapping[int, str] | None = None) -> Iterator[tuple[Address, int]]:
    """Address and port of each listening TCP socket of this machine.

    Args:
        tables: content of /proc/net/tcp and tcp6, by IP version.
    """
    for version, text in (tables or _kernel_tables()).items():
        for line in text.splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                address, port = fields[1].split(":")
                yield _address(address, version), int(port, 16)


def check_ports(ports: Mapping[str, int], *, authenticated: bool, in_pod: bool) -> list[Finding]:
    """What each of Ray's ports on this machine lets in.

    Args:
        ports: by what listens there.
        authenticated: whether Ray asks for a token.
        in_pod: whether this is a pod of Kubernetes, whose own policies decide who comes in.
    """
    found = []
    sockets = list(listening())
    for what, port in ports.items():
        open_at = [each for each, at in sockets if at == port and not each.is_loopback]
        if open_at:
            found.append(_open(what, port, open_at, authenticated, in_pod))
        elif any(at == port for _, at in sockets):
            found.append(fine(CHECK, f"{what} (port {port}) listens to this machine only"))
    return found or [fine(CHECK, "no Ray listens on this machine")]


def check_from_here(host: str, ports: Mapping[str, int] = PORTS) -> list[Finding]:
    """Whether a head that should be closed can be reached from this machine."""
    found = []
    for what, port in ports.items():
        if reachable(host, port):
            found.append(
                wrong(
                    CHECK,
                    f"{what} of {host} (port {port}) can be reached from this machine",
                    "Admit only the cluster's own machines to it (security group, firewall, "
                    "network policy), and come in through `ray dashboard` or ssh -L.",
                )
            )
    return found or [fine(CHECK, f"none of Ray's ports of {host} can be reached from this machine")]


def reachable(host: str, port: int) -> bool:
    """Whether a connection is taken within seconds."""
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def _open(what: str, port: int, at: list[Address], authenticated: bool, in_pod: bool) -> Finding:
    where = ", ".join("all addresses" if each.is_unspecified else str(each) for each in at)
    text = f"{what} (port {port}) listens on {where}"
    if authenticated:
        return fine(CHECK, f"{text}, and asks for a token")
    if in_pod:
        return note(
            CHECK,
            text,
            "See that a network policy admits the cluster's own pods only (cluster/kuberay).",
        )
    if what in FOR_OTHER_MACHINES:
        return note(
            CHECK,
            text,
            "The cluster's other machines need it, and whoever reaches it can run programs: see that "
            "only they are admitted (security group, firewall). --dashboard-host does not close it.",
        )
    return wrong(
        CHECK,
        f"{text}: whoever reaches it can run programs here",
        "Start the head with --dashboard-host=127.0.0.1 and without a Ray client server, and come "
        "in through `ray dashboard` or ssh -L; or have Ray ask for a token (RAY_AUTH_MODE=token).",
    )


def _kernel_tables() -> dict[int, str]:
    files = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
    return {version: file.read_text() for version, file in files.items() if file.exists()}


def _address(written: str, version: int) -> Address:
    """An address as the kernel writes it: words of 32 bits, each in the machine's byte order (little)."""
    raw = bytes.fromhex(written)
    words = [raw[i : i + 4][::-1] for i in range(0, len(raw), 4)]
    packed = b"".join(words)
    if version == 4:
        return ipaddress.IPv4Address(packed)
    address = ipaddress.IPv6Address(packed)
    return address.ipv4_mapped or address  # a socket of both kinds that is bound to one of IPv4
