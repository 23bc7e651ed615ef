"""A search from its settings to what it has found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from optuna.storages import BaseStorage
from optuna.trial import TrialState
from rich.console import Console

from raymm.storage.address import open_address, words
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.machines import check_cluster
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from raymm.sweep.search.best import chosen, pareto
from raymm.sweep.search.best_file import Best, write_best
from raymm.sweep.search.conductor import FOR_GOOD, Conductor
from raymm.sweep.search.identity import IDENTITY, check_identity, identity, study_name
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.storage import explained, open_storage, studies_address
from raymm.sweep.search.study import ConditionStudy
from raymm.sweep.search.trials import TrialRecord


@dataclass(frozen=True)
class Search:
    """A search and what is known of it before it runs.

    Attributes:
        sweep: its places; its cells are those of the preset.
        address: of the studies.
        begun: trials that each condition's study has already, by state ("complete", ...).
    """

    sweep: Sweep
    settings: SearchSettings
    address: str
    begun: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        trials: of all conditions.
        best: of each condition that has a complete trial.
        failed: cells that failed in this run, but for those whose settings are at fault.
        open: whether trials or scores are still missing: it was interrupted.
    """

    trials: Sequence[TrialRecord]
    best: Sequence[Best]
    failed: Sequence[CellResult]
    open: bool


def prepare_search(settings: SearchSettings) -> Search:
    """Find out what there is to do. Starts nothing and writes nothing.

    Raises:
        RaymmError: a setting, the data, a place or a study of the same name is at fault.
    """
    sweep = prepare_sweep(settings)
    address = studies_address(settings.studies, sweep.folder)
    storage = open_storage(address, make=False)
    begun: dict[str, Mapping[str, int]] = {}
    with explained(address):
        for condition in settings.conditions:
            name = study_name(sweep.name, condition)
            own = identity(settings, sweep.dataset, condition)
            begun[condition.title] = _begun(storage, name, own) if storage else {}
    return Search(sweep, settings, address, begun)


def _begun(storage: BaseStorage, name: str, own: Mapping[str, object]) -> dict[str, int]:
    """Trials that a study has, by state; none if there is no such study."""
    study = next((each for each in storage.get_all_studies() if each.study_name == name), None)
    if study is None:
        return {}
    check_identity(name, study.user_attrs.get(IDENTITY), own)
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    states = [trial.state for trial in trials if trial.state is not TrialState.WAITING]
    return {state.name.lower(): states.count(state) for state in dict.fromkeys(states)}


def run_search(search: Search, console: Console) -> Found:
    """Go on with the search to its end, and write `best.json`.

    Raises:
        SweepError: a place cannot be written, or the cluster cannot hold a single cell.
        TrackingError: the tracking store went away.
    """
    dataset, settings = search.sweep.dataset, search.settings
    largest = [settings.largest(dataset, condition) for condition in settings.conditions]
    claim_places(search.sweep, largest)
    storage = open_storage(search.address, make=True)
    assert storage is not None
    with explained(search.address):
        sweep = search.sweep
        studies, conductors, failed = _conduct(search, storage, console)
        tested = {key: each for lead in conductors for key, each in lead.test_results.items()}
        trials = [record for study in studies for record in study.records()]
        best = [found for study in studies if (found := _best(study, tested)) is not None]
    metrics = [goal.metric for goal in settings.goals(sweep.dataset)]
    write_best(best, sweep.folder, name=sweep.name, dataset=sweep.dataset, objective=metrics)
    return Found(trials, best, failed, open=not all(lead.done for lead in conductors))


def _conduct(
    search: Search, storage: BaseStorage, console: Console
) -> tuple[list[ConditionStudy], list[Conductor], list[CellResult]]:
    """Run the trials that are missing; returns the studies, who led them, and cells that failed."""
    from raymm.sweep.interrupt import Interrupts
    from raymm.sweep.opening import open_record
    from raymm.sweep.progress import ProgressView, Standing
    from raymm.sweep.record import Recorder
    from raymm.sweep.runner import Job, pool_settings, train
    from raymm.sweep.settle import away_note
    from raymm.training.cluster import connected

    # The cells of a search are those its trials need, the preset's among them: none is known yet.
    sweep = dataclasses.replace(search.sweep, cells=(), finished={})
    ledger, standing = sweep.ledger, Standing((), {})
    ledger.tell = standing.tags

    def known(cells: Sequence[Cell]) -> Mapping[str, CellResult] | None:
        return None if ledger.claim(cells).elsewhere else ledger.finished(cells)

    note = partial(away_note, ledger)
    view = ProgressView(standing, console, each_cell=False, note=note)
    with view:
        # First: a driver that is refused leaves the studies as they are. Before there is something
        # to end in good order, too: the wait for another driver ends at once.
        open_record(sweep, view.say)
        with Interrupts() as interrupts:
            studies = [
                ConditionStudy(sweep.name, condition, search.settings, sweep.dataset, storage)
                for condition in search.settings.conditions
            ]
            discard = partial(_discard, sweep.storage, view.say)
            leads = {
                gpu: Conductor(own, known, discard, view.say)
                for gpu, own in _by_gpu(sweep, studies).items()
            }
            standing.to_come = lambda: sum(lead.at_most for lead in leads.values())
            recorder = Recorder(sweep, standing, view)
            most = search.settings.max_concurrent
            jobs = [
                Job(pool_settings(sweep, gpu), lead, most)
                for gpu, lead in leads.items()
                if lead.has_more()
            ]
            if jobs:
                with connected(search.settings.address):
                    if search.settings.address is not None:
                        check_cluster(search.sweep)
                    for together in [[job] for job in jobs] if most else [jobs]:
                        if not interrupts.stopping.is_set():
                            train(sweep, together, recorder, interrupts.stopping)
            recorder.stop_the_rest()
    # That a loss diverges is something that a search finds out, not a failure of it.
    failed = [
        each
        for each in standing.ended.values()
        if each.status == "failed" and not each.reason.startswith(FOR_GOOD)
    ]
    return studies, list(leads.values()), failed


def _discard(storage: str, tell: Callable[[str], None], key: str) -> None:
    """Leave nothing of a cell in the storage; that it cannot be removed is said, and no more."""
    try:
        fs, folder = open_address(f"{storage}/{key}")
        if fs.exists(folder):
            fs.rm(folder, recursive=True)
    except OSError as error:
        tell(f"{key}: what is left of it cannot be removed: {words(error)}")


def _by_gpu(
    sweep: Sweep, studies: Sequence[ConditionStudy]
) -> dict[str | None, list[ConditionStudy]]:
    """The studies by the kind of GPU that their largest trials need."""
    from raymm.sweep.placement import by_gpu

    found: dict[str | None, list[ConditionStudy]] = {}
    for study in studies:
        (gpu,) = by_gpu(sweep, [study.largest()])
        found.setdefault(gpu, []).append(study)
    return found


def _best(study: ConditionStudy, tested: Mapping[str, CellResult]) -> Best | None:
    records = study.records()
    trial = chosen(records, study.goals)
    if trial is None:
        return None
    cells = study.trial(trial).cells
    results = [tested.get(cell.key) for cell in cells]
    return Best(
        trial=trial,
        cells=cells,
        default=next((r for r in records if r.is_default and r.state == "complete"), None),
        pareto=tuple(each.number for each in pareto(records, study.goals)),
        test=_means([result.metrics for result in results if result is not None], len(cells)),
    )


def _means(metrics: Sequence[Mapping[str, float]], cells: int) -> dict[str, float]:
    """Mean of each metric of the test split over all cells; empty while one is not scored."""
    if len(metrics) < cells or not all(metrics):
        return {}
    shared = set.intersection(*(set(each) for each in metrics))
    return {
        name: sum(each[name] for each in metrics) / cells
        for name in sorted(shared)
        if not name.startswith("val/")
    }
