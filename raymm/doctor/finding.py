"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["fine", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One sentence on one thing that was looked at.

    Attributes:
        level: "wrong" is to be mended before a sweep; a "note" is worth knowing.
        remedy: what to do; empty if it is fine.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""


def fine(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "fine", text)


def note(check: str, text: str, remedy: str) -> Finding:
    """Worth knowing."""
    return Finding(check, "note", text, remedy)


def wrong(check: str, text: str, remedy: str) -> Finding:
    """To be mended."""
    return Finding(check, "wrong", text, remedy)
