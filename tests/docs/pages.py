"""What README and the pages of docs/ hold: their commands, and their Python."""

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
    """The text of a README.md, by its path, or of a page of docs/."""
    return (ROOT / name if name.endswith("README.md") else ROOT / "docs" / name).read_text()


def commands(name: str) -> list[str]:
    """A page's commands, in code blocks that are indented or fenced, without their comments."""
    found = []
    for line in page(name).splitlines():
        if re.match(r"(    )?(raymm |python (sweeps/|-m )|make )", line):
            found.append(line.split(" # ")[0].strip())
    return found


def mentioned(name: str) -> list[str]:
    """Commands that stand in a page's sentences and tables."""
    return re.findall(r"`((?:raymm |python sweeps/|make )[^`\n]*)`", page(name))


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
