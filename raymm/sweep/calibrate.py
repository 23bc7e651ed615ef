"""`--calibrate`: how fast cells are, found out by training a few of them for a moment.

They are a sweep of their own, in the same ledger and storage, so that what it finds is there for
every plan that comes later.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rich.console import Console

from raymm.errors import SweepError
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from raymm.sweep.settings import SweepSettings
from raymm.sweep.settle import settle

EPOCHS = 2
"""The first epoch of a process is slower than those after it."""

Settings = TypeVar("Settings", bound=SweepSettings)


def calibration(settings: Settings, name: str) -> Settings:
    """Settings of the small sweep: each model where it has most to do, and with --larger-gpu also where
    it has least.

    Args:
        name: of the sweep that is planned.
    """
    few = ("seeds", "sparsities")
    values = {axis: sorted(getattr(settings, axis)) for axis in settings.AXES if axis in few}
    changed: dict[str, Any] = {axis: (each[0],) for axis, each in values.items()}
    if settings.larger_gpu is not None and "sparsities" in values:
        # A model may be placed on the one kind of GPU with most to do, on the other with least.
        ends = values["sparsities"][0], values["sparsities"][-1]
        changed["sparsities"] = tuple(dict.fromkeys(ends))
    changed |= {"epochs": EPOCHS, "name": f"{name}-calibration"}
    changed |= {"plan": False, "calibrate": False}
    return dataclasses.replace(settings, **changed)


def calibrate(sweep: Sweep, console: Console) -> None:
    """Train the cells of the small sweep, as far as they are not recorded.

    Raises:
        SweepError: one of them failed, or was interrupted.
        RaymmError: the sweep cannot be run.
    """
    from raymm.sweep.runner import run_sweep

    small = prepare_sweep(calibration(sweep.settings, sweep.name))
    if not small.missing:
        return
    console.print(f"calibrating: {len(small.missing)} cell(s) of {EPOCHS} epochs", highlight=False)
    claim_places(small)
    with small.ledger:
        results = run_sweep(small, console)
        bad = [result for result in results if result.status != "finished"]
        small.ledger.close_sweep("FAILED" if bad else "FINISHED")
        settle(small.ledger, console)
    if bad:
        raise SweepError(f"Calibrating has not worked: {bad[0].reason}")
