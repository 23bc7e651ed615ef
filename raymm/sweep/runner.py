"""Runs a sweep: Ray Tune deals the cells, warm worker groups train them. Sole importer of ray.tune.

A trial is a light function that hands its cell to the dispatcher of a `WorkerPool` and relays what
it hears. It takes no CPU, so that trials never hold what their own workers wait for. A
`tune.Callback` in the driver is the only one who writes to MLflow and to the screen.

What only the driver needs is imported where it is used: each trial's process imports this module.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from raymm.errors import RaymmError
from raymm.sweep.cells import Cell, CellResult
from raymm.training.dispatch import Handle, Sighting, Task

if TYPE_CHECKING:
    from rich.console import Console

    from raymm.sweep.plan import Sweep
    from raymm.sweep.record import Recorder

KEY, NEWS = "cell_key", "news"
ON_HEAD_NODE = {"CPU": 0.0, "node:__internal_head__": 0.001}
"""What a trial takes: a place beside the driver, so that light processes keep no GPU node alive."""
TRIAL_RESTARTS = 3
"""How often a trial whose own process dies is started again; it finds its cell where it is."""


def run_sweep(sweep: Sweep, console: Console) -> list[CellResult]:
    """Train the cells that are not finished and return the results of all, in the sweep's order.

    A cell that fails is a result with its reason. After Ctrl-C those that were not finished are
    results with status "stopped"; the same command goes on with them.

    Raises:
        SweepError: the cluster cannot be reached, or cannot hold a single cell.
        TrackingError: the tracking store went away.
    """
    from raymm.sweep.progress import ProgressView, Standing
    from raymm.sweep.record import Recorder
    from raymm.sweep.work import relative_work

    missing = sweep.missing
    standing = Standing(
        missing,
        {cell.key: relative_work(cell.config, sweep.dataset) for cell in missing},
        list(sweep.finished.values()),
    )
    if not missing:
        _open_record(sweep)
    else:
        with ProgressView(standing, console) as view:
            recorder = Recorder(sweep, standing, view)
            _train(sweep, recorder)
        recorder.stop_the_rest()
    results = {**sweep.finished, **standing.ended}
    return [results[cell.key] for cell in sweep.cells]


def _train(sweep: Sweep, recorder: Recorder) -> None:
    """Train the missing cells on the cluster; the recorder hears what comes of them."""
    from raymm.training.cluster import connected, groups_that_fit
    from raymm.training.pool import PoolSettings, WorkerPool

    settings, missing = sweep.settings, sweep.missing
    with (
        connected(settings.address),
        tempfile.TemporaryDirectory(prefix="raymm-tune-") as folder,
    ):
        pool = PoolSettings(
            workers=settings.workers,
            cpus=settings.cpus_per_worker,
            gpu=settings.gpu,
            storage=sweep.storage,
            this_machine_only=settings.address is None,
        )
        fit = groups_that_fit(pool.workers, pool.resources(), pool.gpu)
        groups = min(fit, settings.max_concurrent or fit, len(missing))
        with WorkerPool(pool, sweep.dataset, groups=groups, expected=len(missing)) as workers:
            _open_record(sweep)  # may take seconds, which the groups need to start
            tuner = _tuner(missing, groups, workers.dispatcher, recorder, folder)
            try:
                tuner.fit()
            except tune.TuneError as error:
                # Tune wraps what a callback raises, traceback and all; ours says what to do.
                ours = error.__context__
                raise (ours if isinstance(ours, RaymmError) else error) from None


def _open_record(sweep: Sweep) -> None:
    from raymm.sweep.plan import decisive

    sweep.tracker.open_sweep(sweep.name, decisive(sweep.settings))
    sweep.tracker.mark_part_of_sweep(sweep.finished)


def _tuner(
    cells: Sequence[Cell], groups: int, dispatcher: Handle, recorder: Recorder, folder: str
) -> tune.Tuner:
    tasks = {cell.key: Task(cell.key, cell.config) for cell in cells}
    trial = tune.with_parameters(_relay, tasks=tasks, dispatcher=dispatcher)
    # More trials than groups: a group that is done finds the next cell waiting.
    concurrent = groups + 1 + groups // 4
    run: dict[str, Any] = {
        "name": "sweep",
        "storage_path": folder,
        "callbacks": [_Listener(recorder)],
        "verbose": 0,
        "failure_config": tune.FailureConfig(max_failures=TRIAL_RESTARTS),
    }
    return tune.Tuner(
        tune.with_resources(trial, ON_HEAD_NODE),
        param_space={KEY: tune.grid_search([cell.key for cell in cells])},
        tune_config=tune.TuneConfig(max_concurrent_trials=concurrent, reuse_actors=True),
        run_config=tune.RunConfig(**run),
    )


def _relay(config: Mapping[str, Any], *, tasks: Mapping[str, Task], dispatcher: Handle) -> None:
    """A trial: hand a cell to the dispatcher and tell Tune what becomes of it.

    It ends well for a failed cell too: for Tune a trial that raises is one to start again.
    """
    task = tasks[config[KEY]]
    ray.get(dispatcher.submit.remote(task))
    seen, started = 0, False
    while True:
        sight: Sighting = ray.get(dispatcher.watch.remote(task.key, seen, started))
        seen, started = seen + len(sight.epochs), sight.started
        tune.report({NEWS: dataclasses.asdict(sight)})
        if sight.outcome is not None:
            return


class _Listener(tune.Callback):
    """Forwards what trials relay to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to restore them, but what we restore is in MLflow."""
        return {}

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        self._recorder.hear(trial.config[KEY], result[NEWS])

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        reason = f"its trial's process died {TRIAL_RESTARTS + 1} times"
        self._recorder.lost(trial.config[KEY], reason)
