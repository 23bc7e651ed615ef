"""What the pages of docs/ hold: their commands, by section, and their Python."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from raymm.cli import main

ROOT = Path(__file__).parent.parent.parent


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / "docs" / name).read_text()


def commands(name: str) -> list[str]:
    """A page's commands: indented lines that begin with raymm or python."""
    lines = page(name).splitlines()
    return [line.strip() for line in lines if line.startswith(("    raymm ", "    python "))]


def python(name: str) -> list[str]:
    """A page's blocks of Python."""
    return re.findall(r"```python\n(.*?)```", page(name), flags=re.DOTALL)


def run(command: str, where: Path) -> tuple[int, str]:
    """Run a page's command in a folder: its exit status, and what it said."""
    words = shlex.split(command, comments=True)
    if words[0] == "raymm":
        return main(words[1:]), ""
    said = subprocess.run(
        [sys.executable, str(ROOT / words[1]), *words[2:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return said.returncode, said.stdout + said.stderr
