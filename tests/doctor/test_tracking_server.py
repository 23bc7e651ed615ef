"""What is said of MLflow servers: real answers over HTTP, and how far addresses are seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raymm.doctor.tracking_server import HERE, check_server, judge, scope


@pytest.fixture(params=[200, 401])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A server that answers as MLflow does without, and with, authentication."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(request.param)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://canary-user:canary-word@127.0.0.1:{made.server_port}", request.param
        made.shutdown()
        thread.join()


def test_a_server_of_this_machine_is_asked_without_credentials(server: tuple[str, int]) -> None:
    uri, status = server
    (found,) = check_server(uri)
    assert found.level == "fine"
    assert ("whoever asks" in found.text) == (status == 200)
    assert "canary" not in found.text + found.remedy


def test_one_that_does_not_answer_is_wrong() -> None:
    assert [each.level for each in check_server("http://127.0.0.1:9")] == ["wrong"]


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "postgresql://user@host/mlflow"])
def test_a_database_is_no_server(uri: str) -> None:
    assert check_server(uri) == []


@pytest.mark.parametrize(
    ("host", "seen_from"),
    [
        ("127.0.0.1", HERE), ("localhost", HERE), ("10.1.2.3", "a private network"),
        ("8.8.8.8", "a public address"), ("nowhere.invalid", "an address that cannot be resolved here"),
    ],
)  # fmt: skip
def test_how_far_an_address_is_seen(host: str, seen_from: str) -> None:
    assert scope(host) == seen_from


@pytest.mark.parametrize(
    ("address", "seen_from", "lets_in", "levels"),
    [
        ("http://10.1.2.3:5000", "a private network", True, ["wrong"]),
        ("https://8.8.8.8", "a public address", True, ["wrong"]),
        ("http://10.1.2.3:5000", "a private network", False, ["fine", "note"]),
        ("https://8.8.8.8", "a public address", False, ["fine"]),
        ("http://127.0.0.1:5000", HERE, True, ["fine"]),
    ],
)
def test_what_it_means(address: str, seen_from: str, lets_in: bool, levels: list[str]) -> None:
    assert [each.level for each in judge(address, seen_from, lets_in)] == levels
