"""Imports point one way, heavy libraries have one importer each, and names cost nothing to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("errors", "storage", "config", "data", "encoders", "models", "losses", "metrics",
          "training", "tasks", "sweep", "embedder", "showcase", "report", "cli")  # fmt: skip
LAYER_OF = {
    "tracking": "sweep",
    "tracking_artifacts": "sweep",
    "serving": "embedder",
    "command": "cli",
    "api": "cli",
    "cli_data": "cli",
    "cli_embed": "cli",
    "cli_doctor": "cli",
    "doctor": "cli",
}
"""Modules of the package's top that belong to a layer of another name."""
SOLE_IMPORTERS = {
    "mlflow": ("raymm/tracking.py", "raymm/tracking_artifacts.py"),
    "fsspec": ("raymm/storage/address.py",),
    "ray.tune": ("raymm/sweep/runner.py",),
    "ray.train": ("raymm/training/group.py",),
    "ray.data": ("raymm/encoders/cache.py",),
}
NO_RAY = ("raymm/embedder.py", "raymm/report/**/*.py", "raymm/data/**/*.py", "raymm/models/**/*.py",
          "raymm/losses/**/*.py", "raymm/metrics/**/*.py", "raymm/training/loop.py",
          "raymm/sweep/cells.py", "raymm/sweep/grid.py", "raymm/sweep/settings.py")  # fmt: skip


def sources() -> list[Path]:
    return sorted((ROOT / "raymm").rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Dotted names a file imports, wherever in it: "ray.tune" for `from ray import tune`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of(name: str, library: str) -> bool:
    return name == library or name.startswith(f"{library}.")


def layer(dotted: str) -> int | None:
    parts = dotted.split(".")
    if parts[0] != "raymm" or len(parts) == 1:
        return None
    name = LAYER_OF.get(parts[1], parts[1])
    return LAYERS.index(name) if name in LAYERS else None


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", sources(), ids=module_of)
def test_a_module_imports_its_own_layer_or_those_below(file: Path) -> None:
    own = layer(module_of(file))
    if own is None:
        return
    above = [name for name in imported(file) if (layer(name) or 0) > own]
    assert not above, f"{module_of(file)} imports {above}, which come after it in {LAYERS}"


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_a_library_has_one_importer(library: str) -> None:
    importers = {
        str(file.relative_to(ROOT))
        for file in (*sources(), *(ROOT / "sweeps").glob("*.py"))
        if any(is_of(name, library) for name in imported(file))
    }
    assert importers == set(SOLE_IMPORTERS[library])


def test_what_knows_nothing_of_ray_does_not_import_it() -> None:
    for pattern in NO_RAY:
        for file in ROOT.glob(pattern):
            assert not any(is_of(name, "ray") for name in imported(file)), file


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("raymm", {"torch", "ray", "numpy"}),
        ("raymm.config", {"torch", "ray", "numpy"}),
        ("raymm.data.feasible", {"torch", "ray"}),
        ("raymm.sweep.grid", {"torch", "ray"}),
        ("raymm.sweep.plan", {"torch"}),
        (
            "raymm.sweep.runner",
            {"torch", "mlflow", "raymm.sweep.plan"},
        ),  # each trial's process imports it
        ("raymm.training.pool", {"torch", "mlflow"}),  # and the controllers this
        ("raymm.training.dispatch", {"torch", "ray"}),
        ("raymm.tracking", {"torch", "ray", "mlflow"}),
    ],
)
def test_a_light_module_stays_light(module: str, spared: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert not spared & set(said.stdout.split())
