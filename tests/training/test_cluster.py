"""What Ray's core says to the screen while it starts."""

from __future__ import annotations

import os
import socket
import time

import pytest

from raymm.doctor.ports import listening
from raymm.errors import SweepError
from raymm.training.cluster import LOG_LEVEL, _without_log_level_line, connected

LINE = b"[2026-01-01 I 7 7] logging.cc:303: Set ray log level from environment variable X to 3\n"


@pytest.mark.parametrize("level", [None, "fatal"])
def test_only_the_line_on_the_log_level_is_left_out(
    level: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if level is None:
        monkeypatch.delenv(LOG_LEVEL, raising=False)
    else:
        monkeypatch.setenv(LOG_LEVEL, level)
    with _without_log_level_line():
        os.write(2, LINE + b"something went wrong\n")
    os.write(2, b"after\n")
    said = capfd.readouterr().err.splitlines()
    assert said[-2:] == ["something went wrong", "after"]
    assert len(said) == (3 if level is None else 2)


def fail_to_start() -> None:
    with _without_log_level_line():
        os.write(2, b"why\n")
        raise ConnectionError


def test_what_was_said_before_an_error_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LOG_LEVEL, "fatal")
    with pytest.raises(ConnectionError):
        fail_to_start()
    assert capfd.readouterr().err == "why\n"


def test_an_address_where_nobody_listens_is_told_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(SweepError, match=rf"no Ray cluster at --address 127\.0\.0\.1:{port}"):
        with_ray(f"127.0.0.1:{port}")
    assert time.monotonic() - began < 10


def with_ray(address: str) -> None:
    with connected(address):
        raise AssertionError("there is one")


def test_that_rays_folder_has_too_long_a_path_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise OSError("AF_UNIX path length cannot exceed 107 bytes: /a/b")

    monkeypatch.setattr("raymm.training.cluster.ray.init", init)
    with pytest.raises(SweepError, match=r"/a/b.*RAY_TMPDIR to a folder"), connected(None):
        pass


def test_that_the_machine_is_too_busy_for_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr("raymm.training.cluster.ray.init", init)
    with pytest.raises(SweepError, match=r"too busy.*same command again"), connected(None):
        pass


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_ray_of_this_machine_listens_to_this_machine_only() -> None:
    import ray

    (node,) = ray.nodes()
    ports = {number for name, number in node.items() if name.endswith("Port") and number > 0}
    ports.add(int(ray.get_runtime_context().gcs_address.rpartition(":")[2]))
    assert len(ports) >= 3
    found = {port: address for address, port in listening() if port in ports}
    assert found.keys() == ports
    assert all(address.is_loopback for address in found.values()), found
