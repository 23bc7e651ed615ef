"""A search's record as a file in its results folder, from which its report is made again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json, json_to_distribution

from raymm.errors import SweepError
from raymm.report.page.search import SearchRecord
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord

SEARCH_FILE = "search.json"
FORMAT = 1


def search_text(record: SearchRecord) -> str:
    """The record as JSON. Of the best trials' cells nothing is kept: no report shows them."""
    content = {
        "format": FORMAT,
        "name": record.name,
        "command": record.command,
        "settings": record.settings,
        "environment": record.environment,
        "goals": [goal.metric for goal in record.goals],
        "spaces": {
            model: {name: distribution_to_json(each) for name, each in space.items()}
            for model, space in record.spaces.items()
        },
        "trials": [dataclasses.asdict(trial) for trial in record.trials],
        "best": [
            {
                "trial": dataclasses.asdict(found.trial),
                "default": dataclasses.asdict(found.default) if found.default else None,
                "pareto": found.pareto,
                "test": found.test,
            }
            for found in record.best
        ],
    }
    return json.dumps(content, indent=1, default=str) + "\n"


def read_search(folder: Path) -> SearchRecord | None:
    """The record that a search's results folder holds; None if it is no search's.

    Raises:
        SweepError: the file is damaged, or of another version of this program.
    """
    file = folder / SEARCH_FILE
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, this program reads {FORMAT}")
        return _record(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepError(
            f"{file} cannot be read: {error!r}. The search's command again writes it anew; what is "
            "finished is not trained again."
        ) from error


def _record(content: Mapping[str, Any]) -> SearchRecord:
    return SearchRecord(
        name=content["name"],
        command=content["command"],
        settings=content["settings"],
        environment=content["environment"],
        goals=[Objective(metric) for metric in content["goals"]],
        spaces={
            model: {name: json_to_distribution(each) for name, each in space.items()}
            for model, space in content["spaces"].items()
        },
        trials=[_trial(each) for each in content["trials"]],
        best=[
            Best(
                trial=_trial(each["trial"]),
                cells=(),
                default=_trial(each["default"]) if each["default"] else None,
                pareto=tuple(each["pareto"]),
                test=each["test"],
            )
            for each in content["best"]
        ],
    )


def _trial(content: Mapping[str, Any]) -> TrialRecord:
    epochs = {int(epoch): value for epoch, value in content["epochs"].items()}
    condition = Condition(**content["condition"])
    return TrialRecord(**{**content, "condition": condition, "epochs": epochs})
