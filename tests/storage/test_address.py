"""Addresses: what opens them, and what is said where they cannot be used."""

from __future__ import annotations

import errno
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from raymm.errors import RaymmError, StorageError, TrainingError
from raymm.storage.address import (
    explained,
    is_local,
    is_remote,
    joined,
    last_part,
    open_address,
    without_credentials,
)


def test_paths_and_addresses(tmp_path: Path) -> None:
    assert is_remote("s3://b/x") and not is_remote("a/b")
    assert joined("s3://b/x/", "y") == "s3://b/x/y" and joined("a/b", "c") == "a/b/c"
    assert last_part("s3://b/x/") == "x"
    system, root = open_address(str(tmp_path))
    assert is_local(system) and root == str(tmp_path)
    system, root = open_address(f"file://{tmp_path}/")
    assert is_local(system) and root == str(tmp_path)


def test_another_file_system_is_used_as_the_local_one_is() -> None:
    address = f"memory://{uuid.uuid4().hex}/folder/"
    system, root = open_address(address)
    assert not is_local(system) and not root.endswith("/")
    with pytest.raises(FileNotFoundError):
        system.cat_file(f"{root}/x")
    system.makedirs(root, exist_ok=True)
    system.pipe_file(f"{root}/x", b"1")
    assert system.cat_file(f"{root}/x") == b"1" and system.exists(root)


def test_an_object_store_makes_no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked
    system, root = open_address("s3://bucket/folder")
    system.makedirs(root, exist_ok=True)


def test_what_means_nothing_or_is_not_installed() -> None:
    with pytest.raises(StorageError, match=r"nonsense://x/y cannot be used: .*nonsense"):
        open_address("nonsense://x/y")
    with pytest.raises(StorageError, match=r"needs a package that is not here.*pip install"):
        open_address("gdrive://x/y")


def client_error(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NoCredentialsError(), "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (client_error("InvalidAccessKeyId"), "that they are of the server at http://minio:9000"),
        (client_error("SignatureDoesNotMatch"), "that they are of the server"),
        (PermissionError("Forbidden"), "may read and write this bucket"),
        (client_error("NoSuchBucket"), "There is no bucket 'bucket' at http://minio:9000"),
        (client_error("PermanentRedirect"), "set AWS_DEFAULT_REGION"),
        (client_error("NotImplemented"), "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        (client_error("InternalError"), "Check the address, the network and the credentials"),
        (EndpointConnectionError(endpoint_url="http://x"), "that the server at http://minio:9000"),
        (ReadTimeoutError(endpoint_url="http://x"), "runs and that this machine reaches it"),
        (OSError(errno.EIO, "odd"), "Check the address, the network and the credentials"),
    ],
)  # fmt: skip
def test_a_failure_names_its_remedy(
    error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    told = explained(error, "s3://bucket/folder")
    assert isinstance(told, StorageError) and isinstance(told, OSError)
    assert isinstance(told, TrainingError)
    assert str(told).startswith("s3://bucket/folder cannot be used: ") and remedy in str(told)


def test_that_the_endpoint_was_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    told = explained(client_error("InvalidAccessKeyId"), "s3://bucket/x")
    assert "Amazon's (AWS_ENDPOINT_URL is not set)" in str(told)


def test_an_error_of_ours_stays() -> None:
    ours = RaymmError("said already")
    assert explained(ours, "s3://x") is ours


def test_passwords_are_taken_out() -> None:
    assert without_credentials("at s3://key:secret@b/x") == "at s3://b/x"
    told = explained(OSError("ftp://me:secret@host/x is away"), "ftp://me:secret@host/x")
    assert "secret" not in str(told)
