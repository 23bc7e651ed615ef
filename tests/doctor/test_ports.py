"""What is said of ports: of sockets that are really open."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT, DEFAULT_PORT

from raymm.doctor.ports import AGENT, GCS, PORTS, check_from_here, check_ports, listening

TCP6 = (
    "  sl  local_address                         remote_address                        st\n"
    "   0: 0000000000000000FFFF00000100007F:2328 00000000000000000000000000000000:0000 0A 0\n"
    "   1: 000080FE00000000FF005450B6AD1DFE:0050 00000000000000000000000000000000:0000 0A 0\n"
    "   2: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 01 0\n"
)


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with closing(socket.create_server((request.param, 0))) as server:
        yield request.param, server.getsockname()[1]


def levels(port: int, what: str = "dashboard", **how: bool) -> list[str]:
    how = {"authenticated": False, "in_pod": False, **how}
    return [each.level for each in check_ports({what: port}, **how)]


def test_a_socket_is_seen_as_it_is_bound(opened: tuple[str, int]) -> None:
    address, port = opened
    assert (ipaddress.ip_address(address), port) in list(listening())


def test_only_what_others_can_reach_is_wrong(opened: tuple[str, int]) -> None:
    address, port = opened
    closed = address == "127.0.0.1"
    assert levels(port) == ["fine" if closed else "wrong"]
    assert levels(port, authenticated=True) == ["fine"]
    assert levels(port, in_pod=True) == ["fine" if closed else "note"]
    assert levels(port, GCS) == levels(port, AGENT) == ["fine" if closed else "note"]


def test_a_port_of_a_head_that_can_be_reached_is_wrong(opened: tuple[str, int]) -> None:
    _, port = opened
    (found,) = check_from_here("127.0.0.1", {"dashboard": port})
    assert found.level == "wrong" and str(port) in found.text


def test_closed_ports_are_fine() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    assert levels(port) == ["fine"]
    assert [each.level for each in check_from_here("127.0.0.1", {"dashboard": port})] == ["fine"]


def test_addresses_of_version_6() -> None:
    found = list(listening({6: TCP6}))
    assert found == [
        (ipaddress.ip_address("127.0.0.1"), 9000),
        (ipaddress.ip_address("fe80::5054:ff:fe1d:adb6"), 80),
    ]


def test_the_agents_port_is_rays() -> None:
    assert PORTS[AGENT] == DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
    assert PORTS[GCS] == DEFAULT_PORT
