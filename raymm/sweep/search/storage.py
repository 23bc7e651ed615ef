"""Where Optuna keeps a search's studies: a file or a database that optuna-dashboard opens too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from raymm.errors import SweepError
from raymm.storage.address import without_credentials

DEFAULT_FILE = "studies.db"
JOURNAL = ".journal"
SQLITE = "sqlite:///"
LOCK_WAIT_S = 60
"""How long a database may be locked by another process, as the dashboard, before that is an error."""


def studies_address(given: str | None, folder: Path) -> str:
    """The address of the studies: the path of a journal, or the URL of a database.

    Args:
        given: --studies; None for a file in the results folder.
    """
    chosen = given or str(folder / DEFAULT_FILE)
    return chosen if "://" in chosen or chosen.endswith(JOURNAL) else f"{SQLITE}{chosen}"


def dashboard_command(address: str) -> str:
    """The command that opens the studies in a browser."""
    return f"optuna-dashboard {without_credentials(address)}"


def open_storage(address: str, *, make: bool) -> BaseStorage | None:
    """Open the studies' storage.

    Args:
        make: make it if it is not there. Without it nothing is written, and None means that there
            is none yet.

    Raises:
        SweepError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with explained(address):
        path = _file(address)
        if path is not None:
            if not make and not path.exists():
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab" if make else "rb"):  # says plainly what sqlite would not
                pass
        if path is not None and address.endswith(JOURNAL):
            return JournalStorage(JournalFileBackend(str(path)))
        if not make and _is_empty(address):
            return None
        options = {"connect_args": {"timeout": LOCK_WAIT_S}} if path is not None else {}
        storage = RDBStorage(address, engine_kwargs=options)
        return optuna.storages.get_storage(storage)


def _file(address: str) -> Path | None:
    """The file that an address stands for, if it is one."""
    if "://" not in address:
        return Path(address)
    return Path(address.removeprefix(SQLITE)) if address.startswith(SQLITE) else None


def _is_empty(address: str) -> bool:
    """Whether a database has no tables of Optuna's, which opening it would make."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(address)
    try:
        return not sqlalchemy.inspect(engine).has_table("studies")
    finally:
        engine.dispose()


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn the storage's failures into an error with a remedy, without passwords.

    Raises:
        SweepError: the storage failed.
    """
    import sqlalchemy.exc

    at = without_credentials(address)
    try:
        yield
    except ImportError as error:
        raise SweepError(
            f"The studies at {at} cannot be opened: {error}. Install the database's driver, or "
            "give --studies a file."
        ) from error
    except (
        OSError,
        sqlalchemy.exc.SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
    ) as error:
        lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        what = without_credentials(lines[0]).rstrip(".")
        raise SweepError(
            f"The studies at {at} cannot be used: {what}. Check --studies (a file that can be "
            "written, or a database such as postgresql://host/name). Trials that are recorded "
            "stay; the same command goes on from there."
        ) from error
    except RuntimeError as error:
        if "incompatible" not in str(error) and "version" not in str(error):
            raise
        raise SweepError(
            f"The studies at {at} were written by another version of Optuna: {error} Bring them up "
            f"to date with `optuna storage upgrade --storage {at}`, or give another --studies."
        ) from error
