"""The MLflow store of a ledger. Beside `raymm.tracking_artifacts` the only importer of mlflow.

Knows experiments, runs, tags, points and registers, not what they mean: that is
`raymm.sweep.ledger`. A register is written once: whoever writes first decides, and all others
read what the first wrote. It is a parameter of a run, of which MLflow refuses to change the value
(a primary key of its database: so it holds for SQLite, for other databases, and behind a server).
To write one, MLflow reads all of its run: so they are spread over several runs by the first part of
their names, and a run of its own, the root, has in registers which runs those are.
"""

from __future__ import annotations

import fcntl
import functools
import gc
import http.client
import logging
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from raymm.errors import TrackingError
from raymm.storage.address import is_remote, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT, DRIVERS = "raymm", "raymm-drivers"
"""Experiments: sweeps and their cells; drivers and the registers."""
LAYOUT = "3"
"""Raised by hand whenever a ledger written by the code before can no longer be gone on with."""
LAYOUT_TAG, REGISTERS_TAG = "raymm.layout", "raymm.registers"
PART, PARTS = "registers-", 32
"""Runs that the registers are spread over. Another number of them would be another layout."""
SQLITE = "sqlite:///"
LOCAL_STORE = f"{SQLITE}mlruns/mlflow.db"
LOCAL_ARTIFACTS = "mlruns/artifacts"
CONNECT_TIMEOUT_S = 5.0
BATCH, PARAMS_BATCH, TAG_CHARS = 1000, 100, 5000
"""Most metrics, and most parameters, MLflow takes in one call; and what fits any version's tag."""
PAGE, ASKED_AT_ONCE = 1000, 200
"""Runs that one search returns, and those it is asked for by their ids."""
LARGEST = 1.7976931348623157e308
"""MLflow stores infinity as the largest double."""
OURS_TO_MEND = {
    "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST",
    "INVALID_STATE", "PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED",
}  # fmt: skip
"""Error codes that trying again would not change. With any other the store is away for a while."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Whoever calls tries again, and says so meanwhile; MLflow would be silent for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}

P = ParamSpec("P")
T = TypeVar("T")


class StoreAwayError(TrackingError):
    """The store does not answer, or cannot now; the same call may succeed later."""


class GoneError(TrackingError):
    """What was asked for is no longer in the store: somebody has cleaned up (`mlflow gc`)."""


@dataclass(frozen=True)
class RunRecord:
    """A run as the store has it; infinities restored."""

    run_id: str
    name: str
    status: str
    deleted: bool
    started_ms: int
    ended_ms: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def _told(method: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate[Store, P], T]:
    """Make a method of the store say with a remedy that the store has failed it."""

    @functools.wraps(method)
    def call(self: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with _explained(self.uri):
            return method(self, *args, **kwargs)

    return call


class Store:
    """An MLflow store. All methods raise TrackingError where it cannot be used, or no longer, of
    which StoreAwayError says that it may be back.

    Nothing is made in it before `open`. Methods may be called from several threads.

    Args:
        uri: MLflow tracking URI; None for SQLite and an artifact folder under `mlruns/`.
        artifacts: folder or address for the artifacts of a ledger that is made.

    Raises:
        TrackingError: a server does not answer; said within seconds.
    """

    def __init__(self, uri: str | None, artifacts: str | None = None) -> None:
        self.uri = uri or LOCAL_STORE
        self._file = _file_of(self.uri)
        self._artifacts = artifacts or (LOCAL_ARTIFACTS if uri is None else None)
        self._made: MlflowClient | None = None
        self._ids: dict[str, str] = {}
        self._registers = ""
        self._parts: dict[str, str] = {}
        _check_reachable(self.uri)

    @property
    def _client(self) -> MlflowClient:
        if self._made is None:
            with _one_at_a_time(self._file):  # of two that make a database's tables one fails
                self._made = _quiet_client(self.uri, self._file)
        return self._made

    @contextmanager
    def asked(self) -> Iterator[MlflowClient]:
        """MLflow's own client, for `raymm.tracking_artifacts`; failures are told as of all methods."""
        with _explained(self.uri):
            yield self._client

    @_told
    def touch(self) -> None:
        """Make sure that a database in a file can be written, as cheaply as it can be known.

        Anything else has answered already, when it was looked for.
        """
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab"):  # an empty file is an empty database
                pass

    @_told
    def look(self) -> bool:
        """Whether there is a ledger in the store. Writes nothing.

        Raises:
            TrackingError: an incompatible version has written it, or it has been deleted.
        """
        if self._registers:
            return True
        file = self._file
        if file is not None and (not file.exists() or not file.stat().st_size):
            return False
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return False
        where = f"The ledger in {without_credentials(self.uri)} (experiment '{EXPERIMENT}')"
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"{where} has been deleted. Bring it back with: mlflow experiments restore "
                f"--experiment-id {found.experiment_id}; or give another --tracking-uri."
            )
        layout = found.tags.get(LAYOUT_TAG)
        if layout != LAYOUT:
            raise TrackingError(
                f"{where} was written by an incompatible version of raymm (layout {layout or 1}; "
                f"this version writes {LAYOUT}). Give another --tracking-uri, or move the old "
                "store away. Cells that are finished in --storage are not trained again: a new "
                "ledger takes their results from there."
            )
        wanted, has = (self._artifacts or "").rstrip("/"), found.artifact_location.rstrip("/")
        if is_remote(wanted) and has != wanted:
            raise TrackingError(
                f"{where} keeps its artifacts in {without_credentials(has)}, which cannot be changed. "
                "Leave --artifacts out, or give another --tracking-uri."
            )
        self._registers = found.tags[REGISTERS_TAG]
        self._ids[EXPERIMENT] = str(found.experiment_id)
        self._ids[DRIVERS] = str(self.get(self._registers).params["experiment"])
        return True

    @_told
    def open(self) -> None:
        """Make the ledger, unless it is there.

        Two that do this at once make one: the experiment's name is unique, and it appears together
        with the tags that say which run has the registers. What the other made for it is deleted.
        """
        self.touch()
        if self.look():
            return
        drivers = self._find_or_make(DRIVERS, {})
        tags = {"raymm.kind": "registers"}
        registers = self._client.create_run(drivers, tags=tags, run_name="registers").info.run_id
        self._client.log_param(registers, "experiment", drivers)
        self._find_or_make(EXPERIMENT, {LAYOUT_TAG: LAYOUT, REGISTERS_TAG: registers})
        if not self.look():
            raise TrackingError(f"The ledger in {without_credentials(self.uri)} has vanished.")
        if self._registers == registers:
            self._client.set_terminated(registers, "FINISHED")
        else:
            self._client.delete_run(registers)

    def _find_or_make(self, name: str, tags: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        location = self._artifacts
        if location is not None and not is_remote(location):
            Path(location).mkdir(parents=True, exist_ok=True)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                made = self._client.create_experiment(
                    name, artifact_location=location, tags=dict(tags)
                )
                return str(made)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)
        assert found is not None  # its creation failed because it exists
        return str(found.experiment_id)

    @_told
    def runs(
        self, having: str, experiment: str = EXPERIMENT, most: int | None = None
    ) -> list[RunRecord]:
        """Runs that MLflow's search language finds, the newest first; none where there is no ledger.

        Args:
            most: of them; None for all.
        """
        if not self.look():
            return []
        token: str | None = None
        found: list[RunRecord] = []
        while True:
            with _no_search_for_garbage():
                page = self._client.search_runs(
                    [self._ids[experiment]],
                    having,
                    max_results=min(most or PAGE, PAGE),
                    page_token=token,
                )
                found += map(_record, page)
            token = page.token
            if not token or (most and len(found) >= most):
                return found[:most]

    def runs_with_ids(self, ids: Sequence[str]) -> list[RunRecord]:
        """Those of the runs that are there, and not deleted."""
        found: list[RunRecord] = []
        for first in range(0, len(ids), ASKED_AT_ONCE):
            listed = ", ".join(f"'{each}'" for each in ids[first : first + ASKED_AT_ONCE])
            found += self.runs(f"attributes.run_id IN ({listed})")
        return found

    @_told
    def get(self, run_id: str) -> RunRecord:
        """One run.

        Raises:
            GoneError: it is not there.
        """
        return _record(self._client.get_run(run_id))

    @_told
    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """All points of a metric, as (step, value)."""
        points = self._client.get_metric_history(run_id, metric)
        return [(int(point.step), _restored(point.value)) for point in points]

    @_told
    def create(self, name: str, tags: Mapping[str, str], experiment: str = EXPERIMENT) -> str:
        """Make a run, with status RUNNING; returns its id."""
        run = self._client.create_run(self._ids[experiment], tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    @_told
    def delete(self, run_id: str) -> None:
        """Delete a run, as far as MLflow does: searches no longer find it."""
        self._client.delete_run(run_id)

    @_told
    def set_status(self, run_id: str, status: str) -> None:
        """RUNNING, FINISHED, FAILED or KILLED; all but the first end the run."""
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    @_told
    def describe(
        self,
        run_id: str,
        tags: Mapping[str, str],
        params: Mapping[str, str] | None = None,
    ) -> None:
        """Set tags, and parameters that are not set yet or have the same value."""
        from mlflow.entities import Param, RunTag

        pairs = [Param(name, value) for name, value in (params or {}).items()]
        self._client.log_batch(
            run_id, params=pairs[:PARAMS_BATCH], tags=[RunTag(*each) for each in tags.items()]
        )
        for first in range(PARAMS_BATCH, len(pairs), PARAMS_BATCH):
            self._client.log_batch(run_id, params=pairs[first : first + PARAMS_BATCH])

    @_told
    def log(
        self,
        run_id: str,
        points: Sequence[tuple[str, float, int]],
        time_ms: int,
        tags: Mapping[str, str],
    ) -> None:
        """Log points (name, value, step), and set tags. The same points with the same time again
        add nothing.
        """
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(name, value, time_ms, step) for name, value, step in points]
        self._client.log_batch(
            run_id, metrics=metrics[:BATCH], tags=[RunTag(*each) for each in tags.items()]
        )
        for first in range(BATCH, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[first : first + BATCH])

    @_told
    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Keep a text as an artifact of a run."""
        self._client.log_text(run_id, text, name)

    @_told
    def registers(self, first_parts: Iterable[str] | None = None) -> Mapping[str, str]:
        """Registers that have been written, by name.

        Args:
            first_parts: of names, as far as their first slash: more than these may come, but all of
                these do. Without it all registers come.
        """
        if not self.look():
            return {}
        asked = None if first_parts is None else {_part_of(each) for each in first_parts}
        found: dict[str, str] = {}
        for part, run_id in self._known_parts(asked).items():
            if asked is None or part in asked:
                found |= self.get(run_id).params
        return found

    @_told
    def write_once(self, values: Mapping[str, str]) -> dict[str, str]:
        """Write registers, each unless it has been written; returns what each holds then."""
        of_part: dict[str, dict[str, str]] = {}
        for name, value in values.items():
            of_part.setdefault(_part_of(name), {})[name] = value
        runs, held = self._made_parts(of_part.keys()), dict[str, str]()
        for part, content in of_part.items():
            held |= self._write_into(runs[part], content)
        return {name: held[name] for name in values}

    def _known_parts(self, asked: Collection[str] | None) -> Mapping[str, str]:
        """The runs that have the registers, by part; read again where one that is asked for lacks."""
        wanted = PARTS if asked is None else len(asked)
        if sum(asked is None or part in asked for part in self._parts) < wanted:
            root = self.get(self._registers).params
            self._parts = {name: run for name, run in root.items() if name.startswith(PART)}
        return self._parts

    def _made_parts(self, asked: Collection[str]) -> Mapping[str, str]:
        """The same, with those made that lack. Of two that make one, one is deleted again."""
        lacking = [part for part in asked if part not in self._known_parts(asked)]
        if lacking:
            tags, drivers = {"raymm.kind": "registers"}, self._ids[DRIVERS]
            made = {
                part: str(self._client.create_run(drivers, tags=tags, run_name=part).info.run_id)
                for part in lacking
            }
            chosen = self._write_into(self._registers, made)
            for part, run_id in made.items():
                if chosen[part] == run_id:
                    self._client.set_terminated(run_id, "FINISHED")
                else:
                    self._client.delete_run(run_id)
            self._parts = {**self._parts, **chosen}
        return self._parts

    def _write_into(self, run_id: str, values: Mapping[str, str]) -> dict[str, str]:
        """Write parameters of a run, each unless it has a value; returns the values they have."""
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        pairs, refused = [Param(name, value) for name, value in values.items()], False
        for first in range(0, len(pairs), PARAMS_BATCH):
            batch = pairs[first : first + PARAMS_BATCH]
            try:
                self._client.log_batch(run_id, params=batch)  # all of them, or none
            except MlflowException:
                refused = True
                for pair in batch:
                    self._write_one(run_id, pair.key, pair.value)
        if not refused:  # what was taken is what they hold
            return dict(values)
        there = self.get(run_id).params
        return {name: there[name] for name in values}

    def _write_one(self, run_id: str, name: str, value: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_param(run_id, name, value)
        except MlflowException as error:
            # That somebody was first is told as a value that cannot be changed.
            if error.error_code != "INVALID_PARAMETER_VALUE" or name not in self.get(run_id).params:
                raise


def _part_of(name: str) -> str:
    """The part of the registers that one is in, by its name as far as the first slash."""
    return f"{PART}{zlib.crc32(name.partition('/')[0].encode()) % PARTS}"


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Put the collector of cyclic garbage off: MLflow makes hundreds of objects for a run, and to go
    through those of thousands again and again took twice as long as all else.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _record(run: Run) -> RunRecord:
    info, data = run.info, run.data
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        deleted=info.lifecycle_stage != "active",
        started_ms=int(info.start_time or 0),
        ended_ms=info.end_time,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics={name: _restored(value) for name, value in data.metrics.items()},
    )


def _check_reachable(uri: str) -> None:
    """Say within seconds that a server does not answer."""
    if uri.startswith(("http://", "https://")):
        address = without_credentials(uri)
        try:
            with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=CONNECT_TIMEOUT_S):
                return
        except urllib.error.HTTPError:
            return  # it answers; whether it lets us in is seen next
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StoreAwayError(
                f"The MLflow server at {address} does not answer: {error}. Start it, mend "
                "--tracking-uri, or leave --tracking-uri out to record locally."
            ) from error


@contextmanager
def _one_at_a_time(database: Path | None) -> Iterator[None]:
    """Hold other processes of this machine off a database in a file while its tables are made."""
    lock = database and database.with_name(f"{database.name}.lock")
    if database is None or lock is None or (database.stat().st_size and not lock.exists()):
        yield
        return
    with lock.open("rb" if lock.exists() else "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
        yield


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn the store's failures into an error with a remedy, without passwords."""
    store = f"The MLflow store at {without_credentials(uri)} cannot be used"
    try:
        yield
    except ImportError as error:
        raise TrackingError(
            f"{store}: {error}. Install the database's driver, or give --tracking-uri the http "
            "address of a server."
        ) from error
    except Exception as error:
        kind = _kind(error)
        if kind is None:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise kind(
            f"{store}: {without_credentials(lines[0]).rstrip('.')}. Check --tracking-uri (a "
            "server's http address, or a database such as sqlite:///mlruns/mlflow.db) and, for a "
            "server, that it runs, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. "
            "What is recorded stays; the same command goes on from there."
        ) from error


def _kind(error: Exception) -> type[TrackingError] | None:
    """What kind of failure of the store it is; None if it is not the store's."""
    import mlflow.exceptions  # only where something failed: it takes seconds
    import sqlalchemy.exc

    if isinstance(error, mlflow.exceptions.MlflowException):
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return GoneError
        return TrackingError if error.error_code in OURS_TO_MEND else StoreAwayError
    if isinstance(error, (sqlalchemy.exc.OperationalError, OSError)):
        return StoreAwayError
    return TrackingError if isinstance(error, sqlalchemy.exc.SQLAlchemyError) else None


def _file_of(uri: str) -> Path | None:
    """The file of an SQLite database, wherever this process goes; None for any other store."""
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def _quiet_client(uri: str, database: Path | None) -> MlflowClient:
    """A client that neither prints nor phones home; makes the tables of a new database."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if database is None:
        return MlflowClient(uri)
    client = MlflowClient(f"{SQLITE}{database}")
    client.get_experiment("0")  # the tables are made at the first use
    return client


def ui_command(uri: str) -> str:
    """The one command that opens a store in a browser; an address for a server; no password."""
    address = without_credentials(uri)
    if uri.startswith(("http://", "https://")):
        return address
    return f"mlflow ui --backend-store-uri {address}"


def _restored(value: float) -> float:
    return float("inf") if value >= LARGEST else -float("inf") if value <= -LARGEST else value
