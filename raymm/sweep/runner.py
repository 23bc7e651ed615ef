"""Runs a sweep: Ray Tune deals the cells, warm worker groups train them. Sole importer of ray.tune.

A `Dealer` says what is to be trained next. Each deal is a trial of Tune: a light function that
relays what is heard of its cells from the dispatcher of a `WorkerPool`. It takes no CPU, so that
trials never hold what their own workers wait for. A `tune.Callback` in the driver is the only one
who writes to MLflow and to the screen.

What only the driver needs is imported where it is used: each trial's process imports this module.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from raymm.errors import RaymmError
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.dealing import Deal, Dealer, EachOnce
from raymm.training.deaths import ACTOR_GONE
from raymm.training.dispatch import Handle, Sighting, Task

if TYPE_CHECKING:
    from rich.console import Console

    from raymm.sweep.plan import Sweep
    from raymm.sweep.record import Recorder
    from raymm.training.pool import PoolSettings

DEAL, POOL, KEYS, KEY, NEWS = "deal", "pool", "cell_keys", "cell_key", "news"
ON_HEAD_NODE = {"CPU": 0.0, "node:__internal_head__": 0.001}
"""What a trial takes: a place beside the driver, so that light processes keep no GPU node alive."""
EPOCH_PATIENCE_S = 24 * 3600.0
"""How long a sweep that stops waits for running epochs to end; a second Ctrl-C ends the wait."""
DRIVER_PATIENCE_S = 60.0
KEYS_OF_S3 = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN",
}  # fmt: skip
"""Tune hands these to its trials as settings of their processes, which Ray writes into its logs."""
TRIAL_RESTARTS = 3
"""How often a trial whose own process dies is started again; it finds its cells where they are."""


@dataclass(frozen=True)
class Job:
    """What is trained by one kind of worker groups.

    Attributes:
        pool: the shape of the groups.
        at_once: most groups at the same time; None for as many as fit.
        expected: cells in all, where that is known: groups go home after the last. Where several
            jobs share a cluster, it must be, or the groups of one wait for places that idle groups
            of another hold.
    """

    pool: PoolSettings
    dealer: Dealer
    at_once: int | None = None
    expected: int | None = None


def run_sweep(sweep: Sweep, console: Console) -> list[CellResult]:
    """Train the cells that are not finished and return the results of all, in the sweep's order.

    A cell that fails is a result with its reason. After Ctrl-C those that were not finished are
    results with status "stopped"; the same command goes on with them.

    Raises:
        SweepError: the cluster cannot be reached, or cannot hold a single cell.
        TrackingError: the tracking store has refused something.
        KeyboardInterrupt: a second Ctrl-C.
    """
    from raymm.sweep.interrupt import Interrupts
    from raymm.sweep.opening import open_record, ray_and_record
    from raymm.sweep.progress import ProgressView, Standing
    from raymm.sweep.record import Recorder
    from raymm.sweep.settle import away_note
    from raymm.sweep.shares import train_shares
    from raymm.sweep.work import relative_work

    missing = sweep.missing
    standing = Standing(
        missing,
        {cell.key: relative_work(cell.config, sweep.dataset) for cell in missing},
        list(sweep.finished.values()),
    )
    sweep.ledger.tell = standing.tags
    if not missing:
        open_record(sweep)
    else:
        note = partial(away_note, sweep.ledger)
        with ProgressView(standing, console, note=note) as view, Interrupts() as interrupts:
            recorder = Recorder(sweep, standing, view)
            with ray_and_record(sweep):
                stopping = interrupts.stopping

                def train_mine(cells: Sequence[Cell]) -> None:
                    for jobs in _grid_jobs(sweep, cells):
                        if not stopping.is_set():
                            train(sweep, jobs, recorder, stopping)

                train_shares(missing, sweep.ledger, recorder, train_mine, stopping)
            recorder.stop_the_rest()
    results = {**sweep.finished, **standing.ended}
    return [results[cell.key] for cell in sweep.cells]


def _grid_jobs(sweep: Sweep, cells: Sequence[Cell]) -> list[list[Job]]:
    """A job for each kind of GPU: all at once, or one by one where --max-concurrent limits them."""
    from raymm.sweep.placement import by_gpu

    most = sweep.settings.max_concurrent
    jobs = [
        Job(pool_settings(sweep, gpu), EachOnce(group), most, len(group))
        for gpu, group in by_gpu(sweep, cells).items()
    ]
    return [[job] for job in jobs] if most else [jobs]


def pool_settings(sweep: Sweep, gpu: str | None = None) -> PoolSettings:
    """The worker groups that a sweep's settings ask for.

    Args:
        gpu: another kind of GPU than the settings'.
    """
    from raymm.training.pool import PoolSettings

    settings = sweep.settings
    return PoolSettings(
        workers=settings.workers,
        cpus=settings.cpus_per_worker,
        gpu=gpu or settings.gpu,
        gpus=settings.gpus_per_worker,
        checkpoint_s=settings.checkpoint_every_s,
        storage=sweep.storage,
    )


def train(sweep: Sweep, jobs: Sequence[Job], recorder: Recorder, stopping: Event) -> None:
    """Train on the cluster what the jobs' dealers deal; the recorder hears what comes of it.

    Ray must be connected, and the sweep open in the ledger. Returns when the dealers have no more,
    or when the sweep is to stop.

    Args:
        stopping: set when it is to stop.

    Raises:
        SweepError: the cluster cannot hold a single group of some job.
        TrackingError: the tracking store has refused something.
        KeyboardInterrupt: a second Ctrl-C.
    """
    from raymm.sweep.tags import ACCELERATOR
    from raymm.training.cluster import room_on_cluster
    from raymm.training.pool import WorkerPool
    from raymm.training.scratch import scratch_folder

    with scratch_folder("tune") as folder, ExitStack() as stack:
        lanes, pools = [], []
        for job in jobs:
            room = room_on_cluster(job.pool.workers, job.pool.resources(), job.pool.gpu)
            groups = min(room.groups, job.at_once or room.groups, max(1, job.dealer.at_most))
            shape = dataclasses.replace(job.pool, one_node=room.one_node)
            pool = WorkerPool(shape, sweep.dataset, groups=groups, expected=job.expected)
            pools.append(stack.enter_context(pool))
            tags = {ACCELERATOR: job.pool.gpu or "CPU"}
            lanes.append(_Lane(job.dealer, pool.dispatcher, groups, tags))
        tuner = _tuner(lanes, recorder, folder, stopping)
        try:
            tuner.fit()
        except tune.TuneError as error:
            # Tune wraps what a callback raises, traceback and all; ours says what to do.
            ours = error.__context__
            raise (ours if isinstance(ours, RaymmError) else error) from None
        if stopping.is_set():
            recorder.stop_the_rest()  # first: whoever sent SIGTERM may not wait for the epochs
            for pool in pools:
                pool.close(timeout_s=EPOCH_PATIENCE_S)


@dataclass
class _Lane:
    """A job under way: who deals, who trains, what its cells' runs say of that, and open deals."""

    dealer: Dealer
    dispatcher: Handle
    groups: int
    tags: Mapping[str, str]
    open: set[str] = field(default_factory=set)

    @property
    def places(self) -> int:
        """Deals that may be open at once: a group that is done finds the next cell waiting."""
        cells = self.groups + 1 + self.groups // 4
        return -(-cells // self.dealer.cells_per_deal)

    def next(self) -> Deal | None:
        """The next deal, its cells queued, if there is one and a place for it."""
        if len(self.open) >= self.places:
            return None
        deal = self.dealer.next()
        if deal is not None:
            tasks = [Task(cell.key, cell.config, deal.score) for cell in deal.cells]
            with suppress(*ACTOR_GONE):  # as in _relay: the driver is about to end
                ray.get([self.dispatcher.submit.remote(task) for task in tasks])
        return deal


def _tuner(lanes: Sequence[_Lane], recorder: Recorder, folder: str, stopping: Event) -> tune.Tuner:
    deals: dict[str, tuple[_Lane, Deal]] = {}
    ENV_VARS_TO_PROPAGATE.difference_update(KEYS_OF_S3)  # ours reach no store
    trial = tune.with_parameters(_relay, dispatchers=[lane.dispatcher for lane in lanes])
    run: dict[str, Any] = {
        "name": "sweep",
        "storage_path": folder,
        "callbacks": [_Listener(deals, recorder, stopping)],
        "verbose": 0,
        "failure_config": tune.FailureConfig(max_failures=TRIAL_RESTARTS),
    }
    searcher = _DealtTrials(lanes, deals, recorder.expect)
    # What a lane has no place for is held back by the lane; Tune only must not hold back more.
    places = sum(lane.places for lane in lanes)
    return tune.Tuner(
        tune.with_resources(trial, ON_HEAD_NODE),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=places, reuse_actors=True
        ),
        run_config=tune.RunConfig(**run),
    )


def _relay(config: Mapping[str, Any], *, dispatchers: Sequence[Handle]) -> None:
    """A trial: tell Tune what becomes of the cells of a deal.

    It ends well for a failed cell too: for Tune a trial that raises is one to start again.
    """
    dispatcher = dispatchers[config[POOL]]
    watches = {dispatcher.watch.remote(key, 0, False): (key, 0) for key in config[KEYS]}
    while watches:
        ready, _ = ray.wait(list(watches))
        key, seen = watches.pop(ready[0])
        try:
            sight: Sighting = ray.get(ready[0])
        except ACTOR_GONE:
            # The dispatcher died. The driver's guard finds out, says so, and ends the sweep: what
            # became of the cells is not known here, so nothing is said of them.
            time.sleep(DRIVER_PATIENCE_S)
            raise
        tune.report({KEY: key, NEWS: dataclasses.asdict(sight)})
        if sight.outcome is None:
            seen += len(sight.epochs)
            watches[dispatcher.watch.remote(key, seen, sight.started)] = (key, seen)


class _DealtTrials(Searcher):
    """Makes a trial of each deal, lane after lane in turn."""

    def __init__(
        self,
        lanes: Sequence[_Lane],
        deals: dict[str, tuple[_Lane, Deal]],
        expect: Callable[[Sequence[Cell], Mapping[str, str]], None],
    ) -> None:
        super().__init__()
        self._lanes = deque(enumerate(lanes))
        self._deals, self._expect = deals, expect
        self._of_trial: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps its searchers to restore them; what we restore is elsewhere."""
        return {}

    def set_search_properties(self, *args: object, **kwargs: object) -> bool:
        """Tune's metric, mode and space are not for us."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next deal; None while there is none, or no place for it."""
        for _ in range(len(self._lanes)):
            number, lane = self._lanes[0]
            self._lanes.rotate(-1)
            deal = lane.next()
            if deal is not None:
                lane.open.add(deal.name)
                self._deals[deal.name] = lane, deal
                self._of_trial[trial_id] = deal.name
                self._expect(deal.cells, {**deal.tags, **lane.tags})
                return {DEAL: deal.name, POOL: number, KEYS: [cell.key for cell in deal.cells]}
        done = all(lane.dealer.exhausted for _, lane in self._lanes)
        return Searcher.FINISHED if done else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A deal is at its end: its place is free."""
        name = self._of_trial.pop(trial_id, None)
        if name is not None:
            lane, _ = self._deals[name]
            lane.open.discard(name)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""


class _Listener(tune.Callback):
    """Forwards what trials relay to the recorder, and to the dealer, who may have cells stopped;
    and to Tune that the sweep is to stop.
    """

    def __init__(
        self, deals: Mapping[str, tuple[_Lane, Deal]], recorder: Recorder, stopping: Event
    ) -> None:
        self._deals, self._recorder, self._stopping = deals, recorder, stopping

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to restore them, but what we restore is in MLflow."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: object) -> None:
        if self._stopping.is_set():
            from raymm.sweep.interrupt import end_tune

            end_tune()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        lane, deal = self._deals[trial.config[DEAL]]
        cell = next(cell for cell in deal.cells if cell.key == result[KEY])
        news = result[NEWS]
        outcome = news["outcome"]
        if outcome and outcome["status"] == "stopped":
            reason = lane.dealer.why_stopped(cell) or outcome["reason"]
            news = {**news, "outcome": {**outcome, "reason": reason}}
        self._tell(lane, deal, cell, self._recorder.hear(cell.key, news))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        lane, deal = self._deals[trial.config[DEAL]]
        reason = f"its trial's process died {TRIAL_RESTARTS + 1} times"
        for cell in deal.cells:
            ended = self._recorder.lost(cell.key, reason)
            if ended is not None:
                self._tell(lane, deal, cell, ended)

    def _tell(self, lane: _Lane, deal: Deal, cell: Cell, ended: CellResult | None) -> None:
        curve = self._recorder.curve(cell.key)
        for stop in lane.dealer.heard(deal, cell, curve, ended):
            ray.get(lane.dispatcher.stop.remote(stop.cell.key, discard=stop.discard))
