"""Samplers and pruners of Optuna, and which searches they cannot serve.

A sampler is made anew for each trial, with a seed of the trial's own: the same search goes the same
way whether or not it was interrupted, and no trial's random draws are another's.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import optuna
from optuna.distributions import CategoricalDistribution

from raymm.errors import ConfigError
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.space import Params, Space, grid_points

SamplerName = Literal["tpe", "gp", "cma-es", "random", "grid"]
PrunerName = Literal["none", "asha", "hyperband", "median"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
REDUCTION = 3
"""Of this many trials one goes on from rung to rung (ASHA and Hyperband)."""
MEDIAN_TRIALS = 4
"""Complete trials that the median pruner needs before it prunes."""


def make_sampler(name: SamplerName, seed: int, trials: int) -> optuna.samplers.BaseSampler:
    """A sampler for the next trial of a study.

    Args:
        seed: of this trial alone; see `trial_seed`.
        trials: how many the study will have: a third of them, at most 10, are drawn at random
            before a sampler that learns begins to.
    """
    startup = max(2, min(10, trials // 3))
    with warnings.catch_warnings():
        # Optuna warns of its arguments of unsettled names; their versions are pinned.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "tpe":
                return optuna.samplers.TPESampler(
                    n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed
                )
            case "gp":
                return optuna.samplers.GPSampler(n_startup_trials=startup, seed=seed)
            case "cma-es":
                return optuna.samplers.CmaEsSampler(n_startup_trials=startup, seed=seed)
            case "random" | "grid":  # a grid's points are all queued beforehand
                return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(name: PrunerName, grace_epochs: int, epochs: int) -> optuna.pruners.BasePruner:
    """A pruner of one study.

    Args:
        grace_epochs: epochs that every trial may train.
        epochs: that a trial trains if it is not pruned.
    """
    match name:
        case "none":
            return optuna.pruners.NopPruner()
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=grace_epochs, reduction_factor=REDUCTION
            )
        case "hyperband":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.HyperbandPruner(
                    min_resource=grace_epochs, max_resource=epochs, reduction_factor=REDUCTION
                )
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=MEDIAN_TRIALS, n_warmup_steps=grace_epochs - 1
            )


def trial_seed(seed: int, study: str, number: int) -> int:
    """A seed for one trial's sampler, from the search's, the study's name and the trial's number."""
    text = f"{seed}/{study}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def all_points(space: Space, seed: int) -> list[dict[str, Any]]:
    """Every point of a grid, in an order drawn by the seed.

    Raises:
        ConfigError: something in the space has infinitely many values.
    """
    values = [grid_points(name, distribution) for name, distribution in space.items()]
    points = [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]
    random.Random(seed).shuffle(points)
    return points


def check_sampler(
    name: SamplerName, spaces: Mapping[str, Space], objectives: Sequence[Objective]
) -> None:
    """Refuse a sampler that cannot search these spaces by these objectives.

    Args:
        spaces: by model.

    Raises:
        ConfigError: it cannot; says what can.
    """
    if name == "grid":
        for space in spaces.values():
            all_points(space, 0)
    if name != "cma-es":
        return
    if len(objectives) > 1:
        raise ConfigError(
            "--sampler cma-es has one objective only. Give one --objective, or take tpe or gp."
        )
    for model, space in spaces.items():
        chosen = [n for n, d in space.items() if isinstance(d, CategoricalDistribution)]
        if chosen:
            raise ConfigError(
                f"--sampler cma-es cannot choose among the values of {', '.join(chosen)}. Give a "
                "range (low:high), take them out of --space, or take tpe or gp."
            )
        if len(space) < 2:
            raise ConfigError(
                f"--sampler cma-es needs two settings to search; for '{model}' --space has one. "
                "Add another, or take tpe or gp."
            )


def check_pruner(
    name: PrunerName, objectives: Sequence[Objective], grace: int, epochs: int
) -> None:
    """Refuse a pruner that cannot serve these objectives.

    Raises:
        ConfigError: there are several objectives, or no epoch is left to prune after.
    """
    if name == "none":
        return
    if len(objectives) > 1:
        raise ConfigError(
            f"--pruner {name} with {len(objectives)} objectives: a trial that is poor by one may be "
            "the best by another, so none can be pruned. Give one --objective, or --pruner none."
        )
    if not 1 <= grace < epochs:
        raise ConfigError(
            f"--grace-epochs = {grace} leaves --pruner {name} nothing to prune in trainings of "
            f"{epochs} epochs. Give 1 to {epochs - 1}, or --pruner none."
        )


def params_text(params: Params) -> str:
    """Values for people: "temperature=0.05, width=32"."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )
