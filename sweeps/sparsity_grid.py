"""Which fusion model holds up best as modalities go missing?

    python sweeps/sparsity_grid.py                           # built-in data, minutes on a laptop
    python sweeps/sparsity_grid.py --plan                    # what that would train, and where
    python sweeps/sparsity_grid.py --dataset my/tables --seeds 0 1 2 3 4
    python sweeps/sparsity_grid.py --preset paper --gpu A10G --address auto
    ray job submit --working-dir . -- python sweeps/sparsity_grid.py --address auto ...

The same command again trains only what is not finished. Every setting: --help.
"""

from __future__ import annotations

from raymm.command import run_grid, script
from raymm.sweep.grid import GridSettings

if __name__ == "__main__":
    script(GridSettings, "sweeps/sparsity_grid.py", run_grid)
