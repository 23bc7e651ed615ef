"""Tables read from a web server: one that lists its folders, and one that does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raymm.data.sources import load_dataset
from raymm.data.sources.tcga.prepare import prepare_tcga
from raymm.errors import DataError, StorageError
from tests.data.sources.tcga import tables


class Quiet(SimpleHTTPRequestHandler):
    """Python's server; folders are listed."""

    def log_message(self, *_: Any) -> None:
        pass


class Bucket(Quiet):
    """As an object store's public bucket: files, no listing."""

    def list_directory(self, path: Any) -> None:
        self.send_error(403)


class Breaking(Bucket):
    """Sends half of what it announces, and hangs up."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2])
        self.connection.close()


@contextmanager
def served(folder: Path, handler: type[Quiet]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("handler", [Quiet, Bucket])
def test_tables_from_the_web_are_those_of_a_folder(tmp_path: Path, handler: type[Quiet]) -> None:
    tables.xena(tmp_path / "files" / "download")
    prepare_tcga(str(tmp_path / "files" / "download"), str(tmp_path / "local"))
    with served(tmp_path / "files", handler) as address:
        prepare_tcga(f"{address}/download", str(tmp_path / "web"))
    local, web = load_dataset(str(tmp_path / "local")), load_dataset(str(tmp_path / "web"))
    assert web.fingerprint == local.fingerprint


def test_a_connection_that_breaks_is_an_error(tmp_path: Path) -> None:
    tables.xena(tmp_path / "files")
    with (
        served(tmp_path / "files", Breaking) as address,
        pytest.raises(DataError, match="cannot be read"),
    ):
        prepare_tcga(address, str(tmp_path / "web"))
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_server_that_is_not_there_and_a_folder_without_tables(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with (
        served(tmp_path / "files", Bucket) as address,
        pytest.raises(StorageError, match=r"cannot be used: .*403.* Check the address"),
    ):
        prepare_tcga(address, str(tmp_path / "web"))
    with (
        served(tmp_path / "files", Quiet) as address,
        pytest.raises(DataError, match="holds none of TCGA's tables"),
    ):
        prepare_tcga(address, str(tmp_path / "web"))
    with pytest.raises(StorageError, match="See that the server runs"):
        prepare_tcga("http://127.0.0.1:9/download", str(tmp_path / "web"))
