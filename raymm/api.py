"""Sweeps from Python: the same as the scripts in sweeps/, with keyword arguments for flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from raymm.config import from_dict
from raymm.errors import ConfigError, SweepError
from raymm.sweep.grid import GridSettings

if TYPE_CHECKING:
    import pandas as pd

HERE = "raymm.sparsity_grid"
COMMAND_LINE_ONLY = ("plan", "calibrate")


def sparsity_grid(*, console: Console | None = None, **settings: Any) -> pd.DataFrame:
    """Train every model at every modal sparsity with every seed, and compare them.

    The same sweep as `python sweeps/sparsity_grid.py`: it shows its progress, goes on where it was,
    records in MLflow and writes the report into `results/<name>/`.

    Args:
        console: where progress is shown; the notebook or terminal if not given.
        settings: as of `raymm.sweep.grid.GridSettings`, the command line's with _ for -:
            `sparsity_grid(dataset="my-study", models=["mca", "eao"], epochs=10)`.

    Returns:
        A row for each cell, as `raymm.results` gives them; a cell that failed has its reason. After
        Ctrl-C those not finished have the status "stopped".

    Raises:
        RaymmError: a setting, the data, the cluster or the tracking store is at fault.
    """
    from raymm.command import train_grid
    from raymm.report.record import only_numbers
    from raymm.report.tables import cells_frame
    from raymm.sweep.plan import prepare_sweep

    _need_no_ray()
    sweep = prepare_sweep(grid_settings(settings))
    _, results = train_grid(sweep, call(settings), console or shown_on(Console()))
    return only_numbers(cells_frame(results))[0]


def shown_on(console: Console) -> Console:
    """The console; in a notebook without widgets, where nothing can be drawn anew, one of plain lines."""
    from raymm.sweep.progress import is_live

    if is_live(console) or not console.is_jupyter:
        return console
    # A kernel's FORCE_COLOR says otherwise.
    return Console(force_jupyter=False, force_terminal=False)


def _need_no_ray() -> None:
    """Refuse to start a sweep beside a Ray that this process, a notebook perhaps, has begun."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        raise SweepError(
            "This process is connected to Ray already, and a sweep connects by itself. Call "
            "ray.shutdown() first; to train on a running cluster give its address=..."
        )


def grid_settings(settings: Mapping[str, Any]) -> GridSettings:
    """Keyword arguments as settings; a list for a tuple and a path for its text will do.

    Raises:
        ConfigError: one is unknown (with the nearest), of the wrong type or out of range, or
            belongs to the command line.
    """
    for name in COMMAND_LINE_ONLY:
        if settings.get(name):
            raise ConfigError(
                f"{HERE}({name}=True): what a sweep is going to do is shown by the command line: "
                f"python sweeps/sparsity_grid.py --{name}"
            )
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in settings.items()
    }
    return from_dict(GridSettings, plain, HERE)


def call(settings: Mapping[str, Any]) -> str:
    """The call, as the report shows how to make the sweep again; without passwords."""
    from raymm.storage.address import without_credentials

    arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return without_credentials(f"{HERE}({arguments})")
