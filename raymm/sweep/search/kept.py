"""The trials of a study as Optuna's storage has them, with what is said of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from raymm.sweep.search.attributes import RETRIES, STATES


class KeptTrials:
    """Reads and writes the trials of one study; the study's own way of writing needs a live trial.

    Args:
        study: name of the study, which must be there.
        searched: names of all that is searched.
    """

    def __init__(self, storage: BaseStorage, study: str, searched: Collection[str]) -> None:
        self._storage, self._searched = storage, set(searched)
        self._id = storage.get_study_id_from_name(study)

    def all(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials by number, or those in some states."""
        return self._storage.get_all_trials(self._id, deepcopy=False, states=states or None)

    def get(self, number: int) -> FrozenTrial:
        """One trial, as it is now."""
        return self._storage.get_trial(self._trial_id(number))

    def say(self, number: int, attributes: Mapping[str, object]) -> None:
        """Set attributes of a trial."""
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._trial_id(number), name, value)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Set a trial's value at an epoch."""
        self._storage.set_trial_intermediate_value(self._trial_id(number), epoch, value)

    def ended_or_running(self) -> list[FrozenTrial]:
        """The trials that count: with a point of their own, and not tried anew."""
        retried = self.retried()
        return [
            trial
            for trial in self.all()
            if trial.state in STATES and self.has_point(trial) and trial.number not in retried
        ]

    def retried(self) -> set[int]:
        """Numbers of failed trials that others try or will try anew."""
        return {
            trial.user_attrs[RETRIES]
            for trial in self.all()
            if RETRIES in trial.user_attrs and self.stands(trial)
        }

    def stands(self, trial: FrozenTrial) -> bool:
        """Whether a trial has a point or will have one; one that was cut off has not."""
        return trial.state is TrialState.WAITING or self.has_point(trial)

    def has_point(self, trial: FrozenTrial) -> bool:
        """Whether all that is searched has its value."""
        return trial.params.keys() == self._searched

    def _trial_id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._id, number))


def age_s(trial: FrozenTrial) -> float:
    """Seconds since a trial was begun."""
    begun = trial.datetime_start
    return 0.0 if begun is None else (datetime.now() - begun).total_seconds()
