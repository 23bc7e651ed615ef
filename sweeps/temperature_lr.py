"""Which temperature, learning rate and so on suit each model as modalities go missing?

    python sweeps/temperature_lr.py                                # built-in data, minutes on a laptop
    python sweeps/temperature_lr.py --plan                         # what that would search
    python sweeps/temperature_lr.py --space temperature learning_rate=1e-4:0.1 width=16,32,64
    python sweeps/temperature_lr.py --sampler gp --pruner asha --trials 40 --seeds 0 1
    python sweeps/temperature_lr.py --objective val/uniformity/fusion val/alignment/mean
    python sweeps/sparsity_grid.py --from-search digits-search     # the grid, with what was found

One Optuna study for each model at each sparsity. The same command again goes on where it was.
Every setting: --help.
"""

from __future__ import annotations

import dataclasses

from rich.console import Console

from raymm.command import DONE, conclude_search, script
from raymm.sweep.calibrate import calibrate
from raymm.sweep.search.run import prepare_search, run_search
from raymm.sweep.search.settings import SearchSettings
from raymm.sweep.search.view import print_search, show_search_plan


def run(settings: SearchSettings, command: str, console: Console) -> int:
    """Search, or only show what would be searched; returns the exit status."""
    search = prepare_search(settings)
    if settings.calibrate:
        unpruned = dataclasses.replace(settings, pruner="none")
        calibrate(dataclasses.replace(search.sweep, settings=unpruned), console)
    if settings.plan or settings.calibrate:
        show_search_plan(search, console)
        return DONE
    print_search(search, console)
    with search.sweep.ledger:
        found = run_search(search, console)
        return conclude_search(search, found, command, console)


if __name__ == "__main__":
    script(SearchSettings, "sweeps/temperature_lr.py", run)
