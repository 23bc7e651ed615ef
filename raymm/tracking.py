"""The record of every cell in MLflow. The only importer of mlflow.

One experiment holds a parent run for each sweep and one run for each cell, found by the tag
`raymm.cell_key`: whatever happens to a cell, it has one run. A single process writes: the driver
of the sweep. Epoch curves are logged under their names with step = epoch, each step once. Final
metrics have their names too, and where a curve has the name already `final/<name>`.
"""

from __future__ import annotations

import functools
import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from raymm.config import to_dict
from raymm.errors import TrackingError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.environment import git_commit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "raymm"
SQLITE = "sqlite:///"
LOCAL_STORE = f"{SQLITE}mlruns/mlflow.db"
LOCAL_ARTIFACTS = "mlruns/artifacts"
CONNECT_TIMEOUT_S = 5.0
FINAL = "final/"
BATCH = 1000
"""Most metrics MLflow takes in one call."""
LARGEST = 1.7976931348623157e308
"""MLflow stores infinity as the largest double."""

KEY, KIND, SWEEP, PART_OF = "raymm.cell_key", "raymm.kind", "raymm.sweep", "raymm.part_of."
MODEL, SPARSITY, SEED = "raymm.model", "raymm.sparsity", "raymm.seed"
DATASET, REASON, CURVE = "raymm.dataset", "raymm.reason", "raymm.curve"
TASK, OF_CELL = "raymm.task", "raymm.of_cell"
PARENT = "mlflow.parentRunId"
STATUS_OF = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

P = ParamSpec("P")
T = TypeVar("T")


def _told(
    method: Callable[Concatenate[Tracker, P], T],
) -> Callable[Concatenate[Tracker, P], T]:
    """Make a method of the tracker say with a remedy that the store has failed it."""

    @functools.wraps(method)
    def call(self: Tracker, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with _explained(self.uri):
            return method(self, *args, **kwargs)

    return call


class Tracker:
    """Runs of a sweep's cells in an MLflow store. A local store is made when a sweep is opened.

    All methods raise TrackingError where the store cannot be used, or no longer.

    Args:
        uri: MLflow tracking URI; None for SQLite and an artifact folder under `mlruns/`.
        dataset: name of the data set, as results show it.

    Raises:
        TrackingError: a server does not answer; said within seconds.
    """

    def __init__(self, uri: str | None, dataset: str) -> None:
        self.uri, self.dataset = uri or LOCAL_STORE, dataset
        self._local = uri is None
        self._connected: tuple[MlflowClient, str] | None = None
        _check_reachable(self.uri)
        self._runs: dict[str, str] = {}
        self._curves: dict[str, dict[int, dict[str, float]]] = {}
        self._sweep: tuple[str, str] | None = None

    @property
    def ui_command(self) -> str:
        """The one command that opens what was recorded in a browser; an address for a server."""
        if self.uri.startswith(("http://", "https://")):
            return self.uri
        return f"mlflow ui --backend-store-uri {without_credentials(self.uri)}"

    @_told
    def finished(self, cells: Sequence[Cell]) -> dict[str, CellResult]:
        """Those of the cells that are finished, by key, with their metrics and curves."""
        if self.uri.startswith(SQLITE) and not Path(self.uri.removeprefix(SQLITE)).exists():
            return {}
        wanted = {cell.key: cell for cell in cells}
        found: dict[str, CellResult] = {}
        for run in self._all_runs(f"tags.`{KIND}` = 'cell'"):
            key = run.data.tags[KEY]
            if key not in wanted:
                continue
            self._runs[key] = run.info.run_id
            if run.info.status == "FINISHED":
                found[key] = self._result(wanted[key], run)
        return found

    @_told
    def claim(self) -> None:
        """Make sure that a database in a file can be written, as cheaply as it can be known.

        Anything else has answered already, when it was asked for finished cells.
        """
        if self.uri.startswith(SQLITE):
            file = Path(self.uri.removeprefix(SQLITE))
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab"):  # an empty file is an empty database
                pass

    @_told
    def open_sweep(self, name: str, settings: Mapping[str, object]) -> None:
        """Find or make the sweep's parent run, under which new cells are put."""
        runs = self._all_runs(f"tags.`{SWEEP}` = '{name}' and tags.`{KIND}` = 'sweep'")
        existing = next(runs, None)
        if existing is None:
            tags = {SWEEP: name, KIND: "sweep", **_commit()}
            existing = self._client.create_run(self._experiment, tags=tags, run_name=name)
            self._log_params(existing.info.run_id, settings)
        else:
            self._client.update_run(existing.info.run_id, status="RUNNING")
        self._sweep = (name, existing.info.run_id)

    @_told
    def close_sweep(self, status: str) -> None:
        """End the parent run: "FINISHED", "FAILED" or "KILLED"."""
        if self._sweep is not None:
            self._client.set_terminated(self._sweep[1], status)

    @_told
    def mark_part_of_sweep(self, keys: Iterable[str]) -> None:
        """Say on the runs of cells, which another sweep may have made, that this one uses them."""
        name, _ = self._open()
        for key in keys:
            self._client.set_tag(self._runs[key], f"{PART_OF}{name}", "true")

    @_told
    def start(self, cell: Cell) -> None:
        """Make the cell's run, or take up the one it has."""
        name, parent = self._open()
        if cell.key in self._runs:
            run_id = self._runs[cell.key]
            self._client.update_run(run_id, status="RUNNING")
            self._curves[cell.key] = self._read_curve(self._client.get_run(run_id))
            self._client.set_tag(run_id, f"{PART_OF}{name}", "true")
            self._client.set_tag(run_id, REASON, "")  # why it ended before is no longer so
            return
        config = cell.config
        tags = {
            KEY: cell.key,
            KIND: "cell",
            SWEEP: name,
            f"{PART_OF}{name}": "true",
            PARENT: parent,
            MODEL: config.model.name,
            SPARSITY: f"{config.data.sparsity:g}",
            SEED: str(config.train.seed),
            DATASET: self.dataset,
            **_commit(),
        }
        run = self._client.create_run(self._experiment, tags=tags, run_name=cell.title)
        self._runs[cell.key], self._curves[cell.key] = run.info.run_id, {}
        self._log_params(run.info.run_id, to_dict(config))

    @_told
    def log_epochs(self, key: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log epochs of a started cell; those its run has already are passed over."""
        curve, points = self._curves[key], []
        for epoch in epochs:
            step = int(epoch["epoch"])
            if not curve:
                names = sorted(epoch.keys() - {"epoch"})
                self._client.set_tag(self._runs[key], CURVE, json.dumps(names))
            if step not in curve:
                curve[step] = dict(epoch)
                points += [(name, v, step) for name, v in epoch.items() if name != "epoch"]
        self._log_metrics(key, points)

    def curve(self, key: str) -> tuple[Mapping[str, float], ...]:
        """All epochs of a started cell, those recorded before it was taken up again included."""
        return tuple(epoch for _, epoch in sorted(self._curves[key].items()))

    @_told
    def end(self, result: CellResult) -> None:
        """End a started cell's run as finished, failed or stopped, with metrics or the reason."""
        in_curve = {name for epoch in self._curves[result.key].values() for name in epoch}
        names = {name: FINAL + name if name in in_curve else name for name in result.metrics}
        self._log_metrics(
            result.key, [(names[name], value, 0) for name, value in result.metrics.items()]
        )
        run_id = self._runs[result.key]
        self._client.set_tag(run_id, REASON, result.reason[:4000])
        self._client.set_terminated(run_id, STATUS_OF[result.status])

    @_told
    def cell_of(self, run: str) -> str | None:
        """The cell key of a run: of its id, or the key itself; None if no cell has such a run."""
        if not run.isalnum():  # neither an id nor a key, and it would break the query
            return None
        for having in (f"attributes.run_id = '{run}'", f"tags.`{KEY}` = '{run}'"):
            found = next(self._all_runs(f"tags.`{KIND}` = 'cell' and {having}"), None)
            if found is not None:
                key: str = found.data.tags[KEY]
                self._runs[key] = found.info.run_id
                return key
        return None

    @_told
    def log_task(
        self,
        key: str,
        task: str,
        metrics: Mapping[str, float],
        curves: Mapping[str, Mapping[int, float]],
        files: Mapping[str, str],
    ) -> str:
        """Record a task that a cell's model was evaluated on, in a run of its own below the cell's.

        A task that is evaluated again has a new run: nothing that was recorded changes.

        Args:
            key: of a cell that `cell_of` or `finished` has found.
            task: its name.
            metrics: under their stable names.
            curves: metric -> step -> value.
            files: name -> text, kept as artifacts.

        Returns:
            The run's id.
        """
        tags = {KIND: "task", TASK: task, OF_CELL: key, DATASET: self.dataset, **_commit()}
        tags[PARENT] = self._runs[key]
        run_id: str = self._client.create_run(
            self._experiment, tags=tags, run_name=f"{task} {self.dataset}"
        ).info.run_id
        points = [(name, value, 0) for name, value in metrics.items()]
        points += [(n, value, step) for n, curve in curves.items() for step, value in curve.items()]
        self._log_points(run_id, points)
        for name, text in files.items():
            self._client.log_text(run_id, text, name)
        self._client.set_terminated(run_id, STATUS_OF["finished"])
        return run_id

    def _open(self) -> tuple[str, str]:
        if self._sweep is None:
            raise TrackingError("No sweep is open in the tracker. Call open_sweep first.")
        return self._sweep

    @property
    def _client(self) -> MlflowClient:
        return self._connection()[0]

    @property
    def _experiment(self) -> str:
        return self._connection()[1]

    def _connection(self) -> tuple[MlflowClient, str]:
        """The client and the experiment's id; at the first call the store is made if need be."""
        if self._connected is None:
            with _few_retries():
                self._connected = self._connect()
        return self._connected

    def _connect(self) -> tuple[MlflowClient, str]:
        self.claim()
        client = _quiet_client(self.uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return client, str(found.experiment_id)
        location = LOCAL_ARTIFACTS if self._local else None
        if location is not None:
            Path(location).mkdir(parents=True, exist_ok=True)
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _all_runs(self, having: str) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], having, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _result(self, cell: Cell, run: Run) -> CellResult:
        """A finished cell as it was when it finished."""
        curve = self._read_curve(run)
        in_curve = {name for epoch in curve.values() for name in epoch}
        metrics = {
            name.removeprefix(FINAL): _restored(value)
            for name, value in run.data.metrics.items()
            if name not in in_curve
        }
        epochs = tuple(epoch for _, epoch in sorted(curve.items()))
        return CellResult(
            cell.config, self.dataset, cell.key, "finished", metrics=metrics, curve=epochs
        )

    def _read_curve(self, run: Run) -> dict[int, dict[str, float]]:
        """Recorded epochs by number."""
        epochs: dict[int, dict[str, float]] = {}
        for name in json.loads(run.data.tags.get(CURVE, "[]")):
            for point in self._client.get_metric_history(run.info.run_id, name):
                row = epochs.setdefault(int(point.step), {"epoch": float(point.step)})
                row[name] = _restored(point.value)
        return epochs

    def _log_params(self, run_id: str, settings: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        params = [
            Param(name, without_credentials(str(value))[:6000]) for name, value in flat(settings)
        ]
        self._client.log_batch(run_id, params=params)

    def _log_metrics(self, key: str, points: Sequence[tuple[str, float, int]]) -> None:
        self._log_points(self._runs[key], points)

    def _log_points(self, run_id: str, points: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value, step in points]
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[first : first + BATCH])


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
            raise TrackingError(
                f"The MLflow server at {address} does not answer: {error}. Start it, mend "
                "--tracking-uri, or leave --tracking-uri out to record locally."
            ) from error


@contextmanager
def _few_retries() -> Iterator[None]:
    """While the first request is made, a server that fails it is not asked for minutes."""
    few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    added = {name: value for name, value in few.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


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
        if not _of_the_store(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TrackingError(
            f"{store}: {without_credentials(lines[0]).rstrip('.')}. Check --tracking-uri (a "
            "server's http address, or a database such as sqlite:///mlruns/mlflow.db) and, for a "
            "server, that it runs, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. "
            "What is recorded stays; the same command goes on from there."
        ) from error


def _of_the_store(error: Exception) -> bool:
    import mlflow.exceptions  # only where something failed: it takes seconds
    import sqlalchemy.exc

    kinds = (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError)
    return isinstance(error, kinds)


def _quiet_client(uri: str) -> MlflowClient:
    """A client that neither prints nor phones home; makes the tables of a new database."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(uri)


def _commit() -> dict[str, str]:
    commit = git_commit()
    return {"mlflow.source.git.commit": commit} if commit else {}


def without_credentials(text: str) -> str:
    """The text with user and password taken out of the addresses in it."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as ("group.name", value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _restored(value: float) -> float:
    return float("inf") if value >= LARGEST else -float("inf") if value <= -LARGEST else value
