"""Whose study it is: all that makes the trials of a condition comparable with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymm.config import to_dict
from raymm.data.dataset import Dataset
from raymm.errors import SweepError
from raymm.science import SCIENCE_VERSION
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.space import space_words
from raymm.sweep.search.trials import Condition

IDENTITY = "raymm"
"""Attribute of a study that holds its identity."""
SHOWN = ("space", "objective", "seeds", "science")


def study_name(search: str, condition: Condition) -> str:
    """Name of a condition's study."""
    return f"{search}/{condition.title}"


def identity(settings: SearchSettings, dataset: Dataset, condition: Condition) -> dict[str, Any]:
    """What may not change between two runs of a search.

    How many trials there are, what suggests them and what prunes them may: more of the same.
    """
    space = settings.spaces(dataset)[condition.model]
    fixed = to_dict(settings.cells(dataset, condition, {})[0].config)
    del fixed["data"]["dataset"], fixed["train"]["seed"]
    for group in ("model", "loss", "train"):
        fixed[group] = {k: v for k, v in fixed[group].items() if k not in space}
    return {
        "data": dataset.fingerprint,
        "settings": fixed,
        "space": space_words(space),
        "objective": [goal.metric for goal in settings.goals(dataset)],
        "seeds": list(settings.seeds),
        "science": SCIENCE_VERSION,
    }


def check_identity(name: str, there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> None:
    """Make sure that a study is this search's.

    Args:
        name: of the study.
        there: the identity it has; None if none.

    Raises:
        SweepError: it is another search's; says what differs.
    """
    if there == here:
        return
    raise SweepError(
        f"The study '{name}' is there already, of another search: {_difference(there, here)}. Give "
        "another --name or --studies."
    )


def _difference(there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> str:
    if there is None:
        return "it was not made by raymm"
    words = [
        f"{n} is {there.get(n)} there, {here[n]} here" for n in SHOWN if there.get(n) != here[n]
    ]
    if there.get("data") != here["data"]:
        words.append("the data are others")
    ours, theirs = _flat(here["settings"]), _flat(there.get("settings", {}))
    words += [
        f"{name} is {theirs.get(name)} there, {ours.get(name)} here"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    return "; ".join(words)


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{group}.{name}": value
        for group, values in settings.items()
        for name, value in values.items()
    }
