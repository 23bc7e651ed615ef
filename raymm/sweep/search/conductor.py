"""Leads a search: asks the studies in turn, judges trials by their cells, scores those chosen.

All conditions share one queue, so that the cluster stays full; the studies know nothing of each
other. When a condition has no more trials to come, the cells of its best one are scored on the test
split, and of no other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.dealing import Curve, Deal, Stop
from raymm.sweep.search.best import chosen
from raymm.sweep.search.study import ConditionStudy
from raymm.sweep.search.trials import SearchTrial, mean_epochs
from raymm.tracking import StoreAwayError

FOR_GOOD = ("TrainingError", "ConfigError", "DataError")
"""What would end a cell the same way again."""
LOOK_AGAIN_S = 3.0
"""From one look at what a condition waits for, of which nothing is heard here, to the next."""
MOST_PUT_OFF = 3
"""Trials of a condition that may wait for cells of other drivers before no more are asked for."""
PATIENCE_S = 600.0
"""How long a search that has nothing left to train waits for a ledger that is away."""
Known = Callable[[Sequence[Cell]], Mapping[str, CellResult] | None]
"""Makes cells this driver's, and returns the results that the ledger has of them, by key; None if
another driver has one of them."""


@dataclass
class _Judged:
    """A trial that is being judged: what is known of its cells, by key.

    Attributes:
        trained: cells that were trained before, perhaps for another sweep, and are only scored.
        leaving: cells that are to stop before the trial is pruned; None while it is not given up.
    """

    study: ConditionStudy
    trial: SearchTrial
    trained: frozenset[str] = frozenset()
    curves: dict[str, Curve] = field(default_factory=dict)
    results: dict[str, CellResult] = field(default_factory=dict)
    leaving: set[str] | None = None


class Conductor:
    """A `Dealer` of trials and, at the end of each condition, of what is to be scored on test.

    Trials that another driver has left half done are taken up when that one is gone, and so are
    those whose cells another sweep's driver trains just now.

    Args:
        studies: one for each condition.
        known: may raise StoreAwayError; what needs it then waits.
        discard: leaves nothing of a cell, which nobody trains, in the storage.
        tell: hears in one line what came of each trial.
    """

    def __init__(
        self,
        studies: Sequence[ConditionStudy],
        known: Known,
        discard: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._known, self._discard, self._tell = known, discard, tell
        self._turn = deque(studies)
        self._trials: dict[str, _Judged] = {}
        self._scored: set[str] = set()
        self._why: dict[str, str] = {}
        self._put_back: list[Deal] = []
        self._wanted: set[str] = set()
        self._idle_until: dict[str, float] = {}
        self._put_off: dict[str, set[str]] = {}
        self._away_since: float | None = None
        self.test_results: dict[str, CellResult] = {}
        self.cells_per_deal = max(len(study.settings.seeds) for study in studies)
        self.at_most = self._count()

    @property
    def exhausted(self) -> bool:
        """Whether all trials and all scores are dealt."""
        return not (self._turn or self._put_back)

    @property
    def done(self) -> bool:
        """Whether every condition has all its trials, and its best one's score has been tried."""
        return self.exhausted and self._idle

    @property
    def _idle(self) -> bool:
        """Whether nothing is dealt of which the end has not been heard."""
        return not self._trials and self._wanted <= self.test_results.keys()

    def next(self) -> Deal | None:
        """The next deal of the condition whose turn it is, of those that need not wait.

        Raises:
            StoreAwayError: the ledger has been away for long, and nothing is being trained.
        """
        if self._put_back:
            return self._put_back.pop()
        now = time.monotonic()
        for _ in range(len(self._turn)):
            study = self._turn[0]
            self._turn.rotate(-1)
            if now < self._idle_until.get(study.name, 0.0):
                continue
            try:
                deal = self._of(study)
                self._away_since = None
            except StoreAwayError:
                self._away_since = self._away_since or now
                if self._idle and now - self._away_since > PATIENCE_S:
                    raise
                deal = None  # a trial that was asked for stays, and is taken up when it is back
            self.at_most = self._count()
            if deal is not None:
                return deal
            self._idle_until[study.name] = now + LOOK_AGAIN_S
        return None

    def has_more(self) -> bool:
        """Whether there is something to train, now or when others have ended."""
        first = self.next()
        if first is not None:
            self._put_back.append(first)
        return not self.exhausted

    def _count(self) -> int:
        """Cells of the trials to come, and of those that will be scored on test."""
        own = len(self._trials)
        to_come = sum(study.left + len(study.running()) + 1 for study in self._turn)
        return max(0, to_come - own) * self.cells_per_deal

    def _of(self, study: ConditionStudy) -> Deal | None:
        """The next deal of a condition; None if it has to wait, or has none any more.

        First come trials that were left half done, then new ones; the score is last.
        """
        for left in study.running():
            if left.title not in self._trials:
                deal = self._begin(_Judged(study, left))
                if deal is not None:
                    return deal
        # A sampler that is asked for trials in a row, of which nothing is known, learns nothing.
        put_off = self._put_off.setdefault(study.name, set())
        put_off &= self._waiting(study)
        while len(put_off) < MOST_PUT_OFF and (trial := study.ask()) is not None:
            deal = self._begin(_Judged(study, trial))
            if deal is not None:
                return deal
            put_off |= {trial.title} & self._waiting(study)
        return None if study.running() else self._score(study)

    def _waiting(self, study: ConditionStudy) -> set[str]:
        """Trials that have begun and are not dealt here."""
        return {trial.title for trial in study.running()} - self._trials.keys()

    def heard(
        self, deal: Deal, cell: Cell, curve: Curve, result: CellResult | None
    ) -> Collection[Stop]:
        """Judge a trial anew by what has become of one of its cells."""
        if deal.name in self._scored:
            if result is not None:
                self.test_results[cell.key] = result
            return ()
        judged = self._trials.get(deal.name)
        if judged is None:
            return ()  # it has had its end; this is how its cells stop
        if judged.leaving is not None:
            if result is not None:
                self._left(deal.name, judged, result)
            return ()
        judged.curves[cell.key] = curve
        if result is not None:
            judged.results[cell.key] = result
        return self._judge(deal.name, judged)

    def why_stopped(self, cell: Cell) -> str:
        """Which end of its trial has stopped a cell."""
        return self._why.get(cell.key, "")

    def _begin(self, judged: _Judged) -> Deal | None:
        """Deal the cells of a trial that the ledger does not have.

        None if it has them all, which ends the trial; or if another driver has one of them: then
        the trial waits until that one has ended or is gone.
        """
        trial = judged.trial
        known = self._known(trial.cells)
        if known is None:
            return None
        leaves = judged.study.condemned(trial.number)
        if leaves is not None:  # by a driver that fell before it was done with it
            for key in leaves:
                self._discard(key)
            judged.study.prune(trial.number)
            return None
        judged.trained = frozenset(known)
        for key, result in known.items():
            judged.curves[key] = result.curve
            if result.scored("validation"):
                judged.results[key] = result
        self._trials[trial.title] = judged
        self._judge(trial.title, judged)
        if trial.title not in self._trials:
            return None
        missing = tuple(cell for cell in trial.cells if cell.key not in judged.results)
        return Deal(trial.title, missing, "validation", judged.study.tags(trial.number))

    def _judge(self, name: str, judged: _Judged) -> list[Stop]:
        """End a trial if what is known of its cells ends it; returns those to be stopped."""
        study, trial, cells = judged.study, judged.trial, judged.trial.cells
        number, results = trial.number, judged.results
        failed = [result for result in results.values() if result.status != "finished"]
        if failed:
            for_good = failed[0].reason.startswith(FOR_GOOD)
            study.fail(number, failed[0].reason, for_good=for_good)
            self._end(name, judged)
            done = results.keys() | judged.trained
            rest = [cell for cell in cells if cell.key not in done]
            self._why |= {cell.key: "another seed of its trial failed" for cell in rest}
            return [Stop(cell, discard=for_good) for cell in rest]
        curves = [judged.curves.get(cell.key, ()) for cell in cells]
        pruned = study.report(number, mean_epochs(curves, study.settings.prune_on))
        if len(results) == len(cells):  # all are trained already: there is nothing left to save
            study.complete(number, [results[cell.key].metrics for cell in cells])
            self._end(name, judged)
        elif pruned:
            return self._prune(name, judged)
        return []

    def _prune(self, name: str, judged: _Judged) -> list[Stop]:
        """Give a trial up: nothing is to be left of its cells, but for those of other sweeps."""
        study, number = judged.study, judged.trial.number
        leaves = [cell for cell in judged.trial.cells if cell.key not in judged.trained]
        reason = f"pruned at epoch {study.last_epoch(number)}"
        study.condemn(number, reason, [cell.key for cell in leaves])
        self._why |= {cell.key: reason for cell in leaves}
        judged.leaving = {cell.key for cell in leaves} - judged.results.keys()
        for key in {cell.key for cell in leaves} & judged.results.keys():
            self._discard(key)
        if not judged.leaving:
            study.prune(number)
            self._end(name, judged)
        return [Stop(cell, discard=True) for cell in leaves if cell.key in judged.leaving]

    def _left(self, name: str, judged: _Judged, result: CellResult) -> None:
        """A cell of a trial that is given up has ended; with the last the trial has."""
        assert judged.leaving is not None
        judged.leaving.discard(result.key)
        if result.status != "stopped":  # it had ended before it could be stopped
            self._discard(result.key)
        if not judged.leaving:
            judged.study.prune(judged.trial.number)
            self._end(name, judged)

    def _end(self, name: str, judged: _Judged) -> None:
        del self._trials[name]
        self._idle_until.pop(judged.study.name, None)
        self._tell(f"{name}: {judged.study.ended(judged.trial.number)}")

    def _score(self, study: ConditionStudy) -> Deal | None:
        """Deal the best trial's cells once more, to be scored on the test split; the condition is
        done then."""
        best = chosen(study.records(), study.goals)
        if best is None:
            self._turn.remove(study)
            return None
        trial = study.trial(best)
        known = self._known(trial.cells)
        if known is None:
            return None
        self._turn.remove(study)
        scored = {key: result for key, result in known.items() if result.scored("test")}
        self.test_results |= scored
        self._wanted |= {cell.key for cell in trial.cells}
        missing = tuple(cell for cell in trial.cells if cell.key not in scored)
        if not missing:
            return None
        name = f"{trial.title} on test"
        self._scored.add(name)
        return Deal(name, missing, "test", study.tags(trial.number))
