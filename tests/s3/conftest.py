"""Servers that the tests of object storage share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from tests.s3.servers import Proxy, Server, running

KINDS = ("moto", "rclone")


@pytest.fixture(scope="session", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server, one kind after the other."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(server.port) as started:
        yield started


def lead_to(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Make this process use other variables; what it has open is forgotten."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a new bucket, which this process reaches by the usual variables."""
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "cache"))
    lead_to(monkeypatch, server.environment())
    yield server.make_bucket(f"b{uuid.uuid4().hex[:12]}")
    S3FileSystem.clear_instance_cache()
