"""What preparing a data set tells: while it runs, and in the end."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from raymm.data.sources.stream import Progress, silent

NOTES, LEFT_OUT = "notes.md", "left_out.csv"


class Meter(Protocol):
    """Shows how far a preparation is."""

    def begin(self, what: str, total: int | None) -> Progress:
        """A file, or another part of the work, begins.

        Args:
            what: it is.
            total: its size; None if unknown.
        """


class NoMeter:
    """Shows nothing."""

    def begin(self, what: str, total: int | None) -> Progress:
        """Nothing is shown."""
        return silent


@dataclass
class Notes:
    """What there is to know about a data set once it is prepared.

    Attributes:
        facts: what was found and done, a sentence each.
        warnings: what the user should look at.
        left_out: (where, id, reason) of all that was not taken over.
    """

    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)

    def say(self, fact: str) -> None:
        """Note a fact."""
        self.facts.append(fact)

    def warn(self, warning: str) -> None:
        """Note what the user should look at."""
        self.warnings.append(warning)

    def leave_out(self, where: str, entries: Iterable[tuple[str, str]]) -> None:
        """Note what is not taken over: (id, reason) each."""
        self.left_out += [(where, name, reason) for name, reason in entries]

    def files(self, title: str) -> dict[str, str]:
        """File name -> text, to be kept with the data set."""
        lines = [f"# {title}", "", *(f"- {fact}" for fact in self.facts)]
        if self.warnings:
            lines += ["", "## Worth a look", "", *(f"- {text}" for text in self.warnings)]
        texts = {NOTES: "\n".join(lines) + "\n"}
        if self.left_out:
            table = io.StringIO()
            csv.writer(table).writerows([("where", "id", "reason"), *self.left_out])
            texts[LEFT_OUT] = table.getvalue()
        return texts


@dataclass(frozen=True)
class Prepared:
    """What a preparation made.

    Attributes:
        to: the packed folder.
        samples: in it.
        modalities: name -> samples that have it.
        notes: what there is to know about it.
    """

    to: str
    samples: int
    modalities: dict[str, int]
    notes: Notes
