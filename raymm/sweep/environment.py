"""The versions and the machine behind a result."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import joblib

PACKAGES = ("raymm", "torch", "ray", "mlflow", "numpy", "scikit-learn")


def environment() -> dict[str, str]:
    """Versions of what decides the numbers, and the machine the sweep was driven from."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    commit = git_commit()
    return {
        "python": platform.python_version(),
        **versions,
        **({"commit": commit} if commit else {}),
        "system": f"{platform.system()} {platform.machine()}",
        "CPUs": str(joblib.cpu_count()),
    }


def git_commit() -> str | None:
    """The commit of this package's source; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
