"""Settings of the scoring at other sparsities, as its command line shows them. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from raymm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CrossSettings:
    """Score the cells of a sweep at every test sparsity, without training them again."""

    name: str
    """The sweep, as its results folder or MLflow has it."""
    test_sparsities: tuple[float, ...] = ()
    """Modal sparsities of the test split. Without it: those the sweep trained at."""
    dataset: str | None = None
    """Where the data set is now. Without it: where the sweep found it."""
    results_dir: str = "results"
    """Folder of the results folders."""
    storage: str | None = None
    """Root of the cells' folders. Without it: where the sweep says they are."""
    tracking_uri: str | None = None
    """MLflow store to look for the sweep in, if it has no results folder."""
    address: str | None = None
    """Ray cluster to join, auto for the one this machine is part of. Without it: a local Ray."""

    def __post_init__(self) -> None:
        sparsities = self.test_sparsities
        if any(not 0 <= sparsity < 1 for sparsity in sparsities):
            raise ConfigError(
                f"--test-sparsities = {sparsities} is out of range. Give numbers in [0, 1)."
            )
        if len(set(sparsities)) < len(sparsities):
            raise ConfigError(f"--test-sparsities = {sparsities}: give each only once.")
