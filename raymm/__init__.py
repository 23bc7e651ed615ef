"""raymm: which multimodal fusion model holds up as modalities go missing?

    import raymm
    cells = raymm.sparsity_grid(models=["mca", "eao"], sparsities=[0, 0.5], seeds=[0, 1, 2])
    cells = raymm.results("digits-default")          # a pandas frame, of an earlier sweep
    embedder = raymm.load("runs:/<run id>")          # a trained model
    embedder.transform({"gene": frame}).fusion

Importing this package imports neither torch nor Ray: a sweep starts many small processes that
need only names and settings. What is named here is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raymm.api import sparsity_grid
    from raymm.data.sources import load_dataset
    from raymm.embedder import Embedder, load
    from raymm.errors import RaymmError
    from raymm.report.results import results

__version__ = "0.1.0"
__all__ = ["Embedder", "RaymmError", "load", "load_dataset", "results", "sparsity_grid"]

_HOMES = {
    "Embedder": "raymm.embedder",
    "RaymmError": "raymm.errors",
    "load": "raymm.embedder",
    "load_dataset": "raymm.data.sources",
    "results": "raymm.report.results",
    "sparsity_grid": "raymm.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'raymm' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
