"""A ledger's store for each test, copied from one that is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.tracking import Store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with a ledger that is empty, which takes seconds to make."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Store(f"sqlite:///{file}").open()
    return file.read_bytes()


@pytest.fixture
def uri(empty_store: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in the folder where the test runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{tmp_path}/mlflow.db"
