"""Opens what lies at a path or an address such as s3://bucket/folder: the only importer of fsspec.

For s3:// the usual variables say who asks and whom: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_PROFILE, AWS_DEFAULT_REGION or AWS_REGION, and AWS_ENDPOINT_URL for a server that
is not Amazon's, such as MinIO, Ceph or R2.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from raymm.errors import RaymmError, StorageError

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss"}
"""Without folders of their own; made all the same, a folder would become a bucket."""
KEYS = (
    "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN where the key is a "
    "temporary one), or AWS_PROFILE"
)
REFUSED = {"AccessDenied", "403", "AllAccessDisabled", "AccountProblem"}
WRONG_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
OTHER_REGION = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}
UNSUPPORTED = {"NotImplemented", "XAmzContentSHA256Mismatch", "MissingContentLength"}
NO_KEY = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
AWAY = {"EndpointConnectionError", "ConnectTimeoutError", "HTTPClientError", "ClientError",
        "ClientPayloadError", "ClientConnectionError", "TimeoutError", "ConnectionError",
        "IncompleteRead"}  # fmt: skip
"""Families of errors of botocore, aiohttp and Python that a network or a server is behind."""
ANSWERED = {"ClientResponseError"}
MANGLED = {"FlexibleChecksumError", "ChecksumError"}
ATTEMPTS = 4


def is_remote(address: str) -> bool:
    """Whether an address is not a path of this machine."""
    return "://" in address


def joined(address: str, name: str) -> str:
    """Path or address of what lies in a folder."""
    return f"{address.rstrip('/')}/{name}" if is_remote(address) else str(Path(address, name))


def last_part(address: str) -> str:
    """Name of what lies at a path or address."""
    return address.rstrip("/").rsplit("/", 1)[-1]


def without_credentials(text: str) -> str:
    """The text with user and password taken out of the addresses in it."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def open_address(address: str) -> tuple[Any, str]:
    """The file system that an address is of, and the path in it, without a slash at its end.

    Local paths have fsspec's own; for others it is within a `RemoteFiles`.

    Raises:
        StorageError: the address means nothing, or what reads it is not installed.
    """
    if not is_remote(address):
        system, root = fsspec.url_to_fs(address)
        return system, str(root)
    protocol = address.partition("://")[0]
    # Others write there too: what was listed a moment ago says nothing.
    options: dict[str, Any] = {"use_listings_cache": False}
    region = os.environ.get("AWS_REGION")
    if protocol in ("s3", "s3a") and region and "AWS_DEFAULT_REGION" not in os.environ:
        options["client_kwargs"] = {"region_name": region}  # botocore knows only the other name
    try:
        system, root = fsspec.url_to_fs(address, **options)
    except ImportError as error:
        raise StorageError(
            f"{without_credentials(address)} needs a package that is not here: {words(error)}. For "
            "s3:// it is installed by: pip install 'raymm[s3]'"
        ) from error
    except Exception as error:  # each client has kinds of its own
        raise explained(error, address) from error
    path = str(root).rstrip("/")
    return (system if is_local(system) else RemoteFiles(system, address)), path


def is_local(system: Any) -> bool:
    """Whether a file system is this machine's, where files appear before they are whole."""
    return isinstance(system, LocalFileSystem)


class RemoteFiles:
    """A file system of fsspec's, whose failures are StorageErrors that say what to do.

    Without it each caller would meet the errors of botocore, aiohttp and s3fs, some of which are no
    OSErrors. That something is not there stays a FileNotFoundError.
    """

    def __init__(self, system: Any, address: str) -> None:
        self._system, self._address = system, address

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder where there are any."""
        protocols = self._system.protocol
        if not OBJECT_STORES & set([protocols] if isinstance(protocols, str) else protocols):
            self.__getattr__("makedirs")(path, exist_ok=exist_ok)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._system, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return found(*args, **kwargs)
            except Exception as error:
                if isinstance(error, FileNotFoundError) and _code(error) != "NoSuchBucket":
                    raise
                raise explained(error, self._address) from error

        return call


def download(system: Any, path: str, to: Path, progress: Callable[[int], None]) -> None:
    """Copy one file to this machine.

    Args:
        system: as `open_address` gives it.
        path: of the file there.
        to: path here.
        progress: told how many bytes are here.

    A transfer that was cut goes on where it was. Some servers then send the checksum of the whole with
    a part of it, and the client takes that for damage: such a file is fetched from its beginning.

    Raises:
        StorageError: it cannot be fetched.
    """

    def told(size: int | None, value: int, **rest: object) -> None:
        progress(value)

    for attempt in range(ATTEMPTS):
        try:
            system.get_file(path, str(to), callback=Callback(hooks={"progress": told}))
            break
        except StorageError as error:
            if attempt == ATTEMPTS - 1 or not MANGLED & _families(error):
                raise


def upload(folder: Path, address: str, last: str) -> None:
    """Copy all files of a folder to an address.

    Args:
        last: name of the file that comes last: what lies there is whole if that is there.

    Raises:
        StorageError: they cannot be written.
    """
    system, root = open_address(address)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path == folder / last):
        target = f"{root}/{path.relative_to(folder).as_posix()}"
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), target)


def explained(error: Exception, address: str) -> RaymmError:
    """An error of whatever reads an address, as one that says what to do."""
    if isinstance(error, RaymmError):
        return error
    place, code, families = without_credentials(address), _code(error), _families(error)
    what = without_credentials(words(error))
    server = f" at {_endpoint()}" if address.startswith("s3") else ""
    if families & NO_KEY:
        remedy = f"{KEYS}."
    elif code in WRONG_KEY:
        remedy = f"{KEYS}, and that they are of the server{server}."
    elif code in REFUSED or isinstance(error, PermissionError):
        remedy = f"{KEYS}, that it is of the server{server}, and may read and write this bucket."
    elif code == "NoSuchBucket":
        bucket = address.partition("://")[2].split("@")[-1].split("/")[0]
        remedy = f"There is no bucket '{bucket}'{server}: make it, or mend the address."
    elif code in OTHER_REGION:
        remedy = "The bucket is of another region: set AWS_DEFAULT_REGION to it."
    elif code in UNSUPPORTED:
        remedy = (
            "The server does not know a part of the protocol; older ones want "
            "AWS_REQUEST_CHECKSUM_CALCULATION=when_required."
        )
    elif families & MANGLED:
        remedy = "What arrives is not what was sent: try again."
    elif not code and families & AWAY and not families & ANSWERED:
        remedy = f"See that the server{server} runs and that this machine reaches it."
    else:
        remedy = "Check the address, the network and the credentials."
    return StorageError(f"{place} cannot be used: {what}. {remedy}")


def words(error: BaseException) -> str:
    """What an error of another library says, as part of a sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, RaymmError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _endpoint() -> str:
    """The server that s3:// addresses are of, by the variables that name it."""
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return without_credentials(named) if named else "Amazon's (AWS_ENDPOINT_URL is not set)"


def _chain(error: BaseException) -> list[BaseException]:
    """An error and those it came from."""
    found: list[BaseException] = []
    here: BaseException | None = error
    while here is not None and here not in found:
        found.append(here)
        here = here.__cause__ or here.__context__
    return found


def _code(error: BaseException) -> str:
    """What an S3 server called the error; empty if none did."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _families(error: BaseException) -> set[str]:
    """Names of the classes that an error, and those it came from, are of."""
    return {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
