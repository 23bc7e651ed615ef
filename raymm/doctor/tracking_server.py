"""Whether an MLflow server lets in whoever asks, and whether passwords travel readable."""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.parse
import urllib.request

from raymm.doctor.finding import Finding, fine, note, wrong
from raymm.storage.address import without_credentials

CHECK = "MLflow"
TIMEOUT_S = 5.0
HERE = "this machine"
SEARCH = "/api/2.0/mlflow/experiments/search"


def check_server(uri: str) -> list[Finding]:
    """What an MLflow server's address gives away.

    Args:
        uri: --tracking-uri; anything but http(s) is no server.
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return []
    address = without_credentials(uri).rstrip("/")
    lets_in = _lets_in(address)
    if lets_in is None:
        return [
            wrong(CHECK, f"{address} does not answer", "Start the server, or mend the address.")
        ]
    return judge(address, scope(parts.hostname), lets_in)


def judge(address: str, seen_from: str, lets_in: bool) -> list[Finding]:
    """What it means that a server lets in whoever asks, or does not.

    Args:
        seen_from: see `scope`.
    """
    if seen_from == HERE:
        how = "lets in whoever asks" if lets_in else "asks for a user and a password"
        return [fine(CHECK, f"{address} {how}, and is seen from {HERE} only")]
    if lets_in:
        return [
            wrong(
                CHECK,
                f"{address} lets in whoever asks, on {seen_from}: runs can be read, changed, deleted",
                "Start it with --app-name basic-auth (cluster/mlflow), or bind it to 127.0.0.1.",
            )
        ]
    found = [fine(CHECK, f"{address} asks for a user and a password")]
    if address.startswith("http://"):
        found.append(
            note(
                CHECK,
                f"the password for {address} travels readable (http)",
                "Put a proxy with TLS before the server, or reach it through a tunnel.",
            )
        )
    return found


def _lets_in(address: str) -> bool | None:
    """Whether a request without credentials is answered; None if nobody answers."""
    body = json.dumps({"max_results": 1}).encode()
    request = urllib.request.Request(
        address + SEARCH, body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code not in (401, 403)
    except OSError:
        return None


def scope(host: str) -> str:
    """How far an address is seen: this machine, a private network, or a public address."""
    try:
        found = {ipaddress.ip_address(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except (OSError, ValueError):
        return "an address that cannot be resolved here"
    if all(each.is_loopback for each in found):
        return HERE
    return "a public address" if any(each.is_global for each in found) else "a private network"
