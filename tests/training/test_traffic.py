"""Bytes of files and of connections are counted, whatever the calls that move them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from raymm.training.traffic import Traffic

SIZE = 2**20
SMALL = 2**17
"""More than anything else of the process moves meanwhile."""


def test_what_is_written_and_read_counts(tmp_path: Path) -> None:
    traffic = Traffic()
    before = traffic.bytes()
    assert traffic.bytes() - before < SMALL
    (tmp_path / "file").write_bytes(b"x" * SIZE)
    written = traffic.bytes()
    assert SIZE <= written - before < SIZE + SMALL
    (tmp_path / "file").read_bytes()
    assert traffic.bytes() - written >= SIZE


def test_what_goes_through_a_connection_counts_and_it_stays_open() -> None:
    traffic = Traffic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:
            before = traffic.bytes()
            sender = threading.Thread(target=ours.sendall, args=(b"x" * SIZE,))
            sender.start()
            left = SIZE
            while left:
                left -= len(theirs.recv(left))
            sender.join()
            during = traffic.bytes()
            assert during - before >= SIZE
            ours.sendall(b"still open")
            assert theirs.recv(10) == b"still open"
    assert traffic.bytes() - during < SMALL  # a connection that ends takes nothing back
    assert traffic.bytes() >= during
