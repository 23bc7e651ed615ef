"""The study of one condition: an Optuna study that outlives the driver that fills it.

Everything a search knows of its trials is in Optuna's storage. A trial that RUNNING is said of when
a driver opens the study is one that another driver left: it is dealt again, with the same cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from raymm.data.dataset import Dataset
from raymm.errors import ConfigError
from raymm.sweep.cells import Cell
from raymm.sweep.search.attributes import (
    CELLS,
    COPY_OF,
    DEFAULT,
    FOR_GOOD,
    LEAVES,
    REASON,
    RETRIES,
    may_be_retried,
    point_of,
    record_of,
)
from raymm.sweep.search.best import chosen
from raymm.sweep.search.identity import IDENTITY, check_identity, identity, study_name
from raymm.sweep.search.kept import KeptTrials, age_s
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.space import Params, Space
from raymm.sweep.search.strategy import (
    all_points,
    make_pruner,
    make_sampler,
    params_text,
    trial_seed,
)
from raymm.sweep.search.trials import Condition, SearchTrial, TrialRecord
from raymm.sweep.tags import STUDY, TRIAL

CUT_OFF_S = 60.0
"""Age of a trial without settings from which the driver that made it must have ended meanwhile."""


class ConditionStudy:
    """Deals the trials of one condition and keeps what comes of them.

    Args:
        name: of the search; the study's is "name/model S=sparsity".
        storage: Optuna's.

    Raises:
        SweepError: the study is there already and is another search's.
    """

    def __init__(
        self,
        name: str,
        condition: Condition,
        settings: SearchSettings,
        dataset: Dataset,
        storage: BaseStorage,
    ) -> None:
        self.condition, self.settings = condition, settings
        self.goals: tuple[Objective, ...] = settings.goals(dataset)
        self.space: Space = settings.spaces(dataset)[condition.model]
        self.name = study_name(name, condition)
        self._dataset = dataset
        self._wanted = settings.trials_of(self.space)
        self._epochs = self._cells({})[0].config.train.epochs
        self._study = optuna.create_study(
            storage=storage,
            study_name=self.name,
            directions=[goal.direction for goal in self.goals],
            pruner=make_pruner(settings.pruner, settings.grace_epochs, self._epochs),
            load_if_exists=True,
        )
        self._kept = KeptTrials(storage, self.name, self.space)
        self._claim()
        self._copies: dict[int, list[int]] = {}
        self._enqueue()

    @property
    def left(self) -> int:
        """Trials still to be asked for."""
        return max(0, self._wanted - len(self._kept.ended_or_running()))

    def largest(self) -> Cell:
        """A cell of the largest model that the space allows."""
        return self.settings.largest(self._dataset, self.condition)

    def last_epoch(self, number: int) -> int:
        """The last epoch reported of a trial; 0 if there is none."""
        return int(self._kept.get(number).last_step or 0)

    def running(self) -> list[SearchTrial]:
        """The trials that have begun and not ended, each point once: this driver's, those of others
        that are at work, and those that a driver which is gone has left half done."""
        found: list[SearchTrial] = []
        self._copies = {}
        for trial in self._kept.all(TrialState.RUNNING):
            if not self._kept.has_point(trial):
                continue  # another driver is making it
            twin = next((each for each in found if dict(each.params) == trial.params), None)
            if twin is not None:
                self._copies.setdefault(twin.number, []).append(trial.number)
            else:
                found.append(self._dealt(trial))
        return found

    def tags(self, number: int) -> dict[str, str]:
        """What the runs of a trial's cells say of it."""
        return {STUDY: self.name, TRIAL: str(number)}

    def ask(self) -> SearchTrial | None:
        """The next trial; None when there are no more to come.

        A point that was tried already takes over what came of it, and the next is asked for.
        """
        while self.left:
            number = len(self._kept.all())
            seed = trial_seed(self.settings.sampler_seed, self.name, number)
            self._study.sampler = make_sampler(self.settings.sampler, seed, self._wanted)
            asked = self._study.ask(fixed_distributions=dict(self.space))
            trial = self._kept.get(asked.number)
            if self._is_copy(trial):
                continue
            try:
                dealt = self._dealt(trial)
            except ConfigError as error:
                self.fail(trial.number, f"ConfigError: {error}", for_good=True)
                continue
            self._kept.say(dealt.number, {CELLS: [cell.key for cell in dealt.cells]})
            return dealt
        return None

    def report(self, number: int, epochs: Mapping[int, float]) -> bool:
        """Take the means over a trial's seeds; True if the trial is to be pruned.

        Args:
            epochs: what the pruner goes by, by epoch; those that are known are passed over.
        """
        trial = self._kept.get(number)
        if len(self.goals) > 1 or trial.state.is_finished():
            return False
        seen = trial.intermediate_values
        for epoch in sorted(epochs.keys() - seen.keys()):
            value = epochs[epoch]
            self._kept.report(number, epoch, self._turned(value))
            # After the last epoch there is nothing left to save.
            if epoch < self._epochs and self._study.pruner.prune(
                self._study, self._kept.get(number)
            ):
                return True
        return False

    def complete(self, number: int, metrics: Sequence[Mapping[str, float]]) -> None:
        """End a trial with the mean of its cells' final metrics; without a number it has failed."""
        values = [_mean(goal.metric, metrics) for goal in self.goals]
        absent = [
            goal.metric
            for goal, value in zip(self.goals, values, strict=True)
            if not math.isfinite(value)
        ]
        if absent:
            reason = f"{', '.join(absent)} does not exist for one of its cells"
            self.fail(number, reason, for_good=True)
            return
        self._settle(number, TrialState.COMPLETE, values)

    def condemn(self, number: int, reason: str, leaves: Sequence[str]) -> None:
        """Say that the pruner has given a trial up; `prune` ends it when nothing of it is left.

        Args:
            leaves: keys of its cells of which nothing is to stay.
        """
        if not self._kept.get(number).state.is_finished():
            self._kept.say(number, {REASON: reason, LEAVES: list(leaves)})

    def condemned(self, number: int) -> list[str] | None:
        """Cells of a trial that has been given up, but not ended since; None of any other."""
        leaves: list[str] | None = self._kept.get(number).user_attrs.get(LEAVES)
        return leaves

    def prune(self, number: int) -> None:
        """End a trial that the pruner has given up."""
        reason = self._kept.get(number).user_attrs.get(REASON, "")
        self._settle(number, TrialState.PRUNED, said={REASON: reason})

    def fail(self, number: int, reason: str, *, for_good: bool) -> None:
        """End a trial that has no result.

        Args:
            for_good: it would fail again. If not, the search tries the point anew when it is
                started again.
        """
        said = {REASON: reason[:1000], FOR_GOOD: for_good}
        self._settle(number, TrialState.FAIL, said=said)

    def ended(self, number: int) -> str:
        """What came of a trial, in a few words."""
        record = self._record(self._kept.get(number))
        values = ", ".join(f"{metric} {value:.4g}" for metric, value in record.objectives.items())
        best = chosen(self.records(), self.goals)
        first = " (best so far)" if best is not None and best.number == number else ""
        lost = record.reason if record.state == "pruned" else f"{record.state}: {record.reason}"
        what = f"{values}{first}" if values else lost
        return f"{what}  {params_text(record.params)}"

    def records(self) -> list[TrialRecord]:
        """All trials that were begun, by number; one that was tried anew is left out."""
        return [self._record(trial) for trial in self._kept.ended_or_running()]

    def trial(self, record: TrialRecord) -> SearchTrial:
        """A trial with its cells, from what is known of it."""
        return SearchTrial(self.condition, record.number, record.params, self._cells(record.params))

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        return record_of(self.condition, self.goals, trial, self._turned)

    def _turned(self, value: float) -> float:
        """A value of the pruner's metric, of which less is better, as the study's direction has it.

        Optuna's pruners know one direction, the objective's. Where that is "maximize", a loss is
        kept as its negative.
        """
        return -value if self.goals[0].maximise else value

    def _claim(self) -> None:
        """Say whose study it is, or make sure that it is this search's."""
        own = identity(self.settings, self._dataset, self.condition)
        there = self._study.user_attrs.get(IDENTITY)
        if there is None and not self._kept.all():
            self._study.set_user_attr(IDENTITY, own)
        else:
            check_identity(self.name, there, own)

    def _enqueue(self) -> None:
        """Queue what is to be tried before a sampler is asked: the preset, a grid's points, and
        what another driver has begun or failed without fault of the point."""
        for trial in self._kept.all(TrialState.RUNNING):
            if not self._kept.has_point(trial) and age_s(trial) > CUT_OFF_S:
                self.fail(trial.number, "cut off before it had its settings", for_good=True)
        retried = self._kept.retried()
        for trial in self._kept.all(TrialState.FAIL):
            if may_be_retried(trial) and trial.number not in retried:
                attributes = {DEFAULT: True} if trial.user_attrs.get(DEFAULT) else {}
                self._study.enqueue_trial(
                    trial.params, user_attrs={**attributes, RETRIES: trial.number}
                )
        there = [point_of(trial) for trial in self._kept.all() if self._kept.stands(trial)]
        point = self.settings.default_point(self._dataset, self.space)
        if point is not None and point not in there:
            self._study.enqueue_trial(point, user_attrs={DEFAULT: True})
            there.append(point)
        if self.settings.sampler == "grid":
            for point in all_points(self.space, self.settings.sampler_seed):
                if point not in there:
                    self._study.enqueue_trial(point)

    def _is_copy(self, trial: FrozenTrial) -> bool:
        """Whether the point was dealt before; then its end is, or will be, the trial's too."""
        if RETRIES in trial.user_attrs:
            return False
        for earlier in self._kept.all()[: trial.number]:
            if earlier.params != trial.params or COPY_OF in earlier.user_attrs:
                continue
            if may_be_retried(earlier):
                continue
            self._kept.say(trial.number, {COPY_OF: earlier.number})
            if earlier.state is TrialState.RUNNING:
                self._copies.setdefault(earlier.number, []).append(trial.number)
            else:
                self._take_over(trial.number, earlier)
            return True
        return False

    def _take_over(self, number: int, earlier: FrozenTrial) -> None:
        """Give a trial the end that another of the same point has had."""
        said = {n: v for n, v in earlier.user_attrs.items() if n in (REASON, FOR_GOOD)}
        self._kept.say(number, said)
        for epoch, value in earlier.intermediate_values.items():
            self._kept.report(number, epoch, value)
        complete = earlier.state is TrialState.COMPLETE
        self._study.tell(number, earlier.values if complete else None, state=earlier.state)

    def _settle(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None = None,
        said: Mapping[str, object] | None = None,
    ) -> None:
        """End a trial and its copies, unless another driver has."""
        for each in (number, *self._copies.pop(number, [])):
            if not self._kept.get(each).state.is_finished():
                self._kept.say(each, said or {})
                self._study.tell(each, values, state=state)

    def _dealt(self, trial: FrozenTrial) -> SearchTrial:
        params = dict(trial.params)
        return SearchTrial(self.condition, trial.number, params, self._cells(params))

    def _cells(self, params: Params) -> tuple[Cell, ...]:
        return self.settings.cells(self._dataset, self.condition, params)


def _mean(metric: str, cells: Sequence[Mapping[str, float]]) -> float:
    return math.fsum(cell.get(metric, math.nan) for cell in cells) / len(cells)
