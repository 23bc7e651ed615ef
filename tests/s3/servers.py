"""Real S3 servers on loopback: moto's and rclone's, and a proxy that cuts connections."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import botocore.session

ROOT = Path(__file__).parent.parent.parent
BIN = ROOT / ".venv-s3" / "bin"
KEY, SECRET, REGION = "key-of-the-tests", "secret-of-the-tests", "us-east-1"
START_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        kind: "moto" or "rclone".
        host: the address it listens at.
    """

    kind: str
    port: int
    host: str = "127.0.0.1"

    @property
    def endpoint(self) -> str:
        """As AWS_ENDPOINT_URL takes it."""
        return f"http://{self.host}:{self.port}"

    def environment(self, port: int | None = None) -> dict[str, str]:
        """The variables that lead there; by way of a proxy's port, if one is given."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self.host}:{port or self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
        }

    def make_bucket(self, name: str) -> str:
        """Make a bucket; returns its address."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def client(self) -> botocore.client.BaseClient:
        """Of botocore: not what is tested."""
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )


@contextmanager
def running(kind: str, folder: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """A server, its data in `folder` or in its memory."""
    port = free_port()
    commands = {
        "moto": [BIN / "moto_server", "-H", host, "-p", str(port)],
        "rclone": [BIN / "rclone", "serve", "s3", str(folder), "--addr", f"{host}:{port}",
                   "--auth-key", f"{KEY},{SECRET}", "--config", os.devnull,
                   "--vfs-cache-mode", "off"],
    }  # fmt: skip
    command = [str(part) for part in commands[kind]]
    assert Path(command[0]).is_file(), f"{command[0]} is not there: run `make test-s3`"
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(host, port, process)
        yield Server(kind, port, host)
    finally:
        process.terminate()
        process.wait()


def _wait_for(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Proxy:
    """A TCP proxy on loopback that counts bytes, can slow them down, and cuts connections.

    Attributes:
        cut_after: bytes of a connection after which it is cut without a word; None for never.
        cuts: how many connections are cut, at most.
        bytes_per_s: of each connection, about; None for as fast as it goes.
        down: bytes that came from the server.
        was_cut: connections that were cut.
    """

    def __init__(self, target: int) -> None:
        self.cut_after: int | None = None
        self.cuts = 10**9
        self.bytes_per_s: float | None = None
        self.down = self.was_cut = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        with suppress(OSError, ValueError):
            while True:
                for source in select.select([near, far], [], [])[0]:
                    part = source.recv(2**16)
                    if not part:
                        return self._close(near, far)
                    passed += len(part)
                    if self.cut_after is not None and passed > self.cut_after and self.cuts > 0:
                        self.cuts -= 1
                        self.was_cut += 1
                        return self._close(near, far)
                    if self.bytes_per_s is not None:
                        time.sleep(len(part) / self.bytes_per_s)
                    if source is far:
                        self.down += len(part)
                    (near if source is far else far).sendall(part)
        return self._close(near, far)

    @staticmethod
    def _close(near: socket.socket, far: socket.socket) -> None:
        near.close()
        far.close()


def changed(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with other variables, for a command."""
    return {**os.environ, **environment}
