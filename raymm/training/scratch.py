"""Folders for what a driver needs only while it runs, which a killed driver leaves to the next one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = re.compile(r"raymm-[a-z]+-(?P<pid>\d+)-.+")


@contextmanager
def scratch_folder(purpose: str) -> Iterator[str]:
    """A folder of this process's own, removed at the end; those of dead processes are removed now.

    Args:
        purpose: a word of small letters.
    """
    root = Path(tempfile.gettempdir())
    for folder in root.glob("raymm-*"):
        match = NAME.fullmatch(folder.name)
        if match and not _lives(int(match["pid"])) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
    prefix = f"raymm-{purpose}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        yield name


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
