"""What can be wrong with a data set, gathered so that all of it can be told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raymm.errors import DataError

Severity = Literal["error", "choice", "warning"]
"""error: unusable until mended; choice: usable once a setting is given; warning: worth knowing."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, where, and what to do about it."""

    severity: Severity
    message: str


@dataclass
class Problems:
    """Collects problems while a data set is read."""

    found: list[Problem] = field(default_factory=list)

    def error(self, message: str) -> None:
        """Note something that makes the data set unusable."""
        self.found.append(Problem("error", message))

    def choice(self, message: str) -> None:
        """Note something that the user has to choose."""
        self.found.append(Problem("choice", message))

    def warning(self, message: str) -> None:
        """Note something worth knowing."""
        self.found.append(Problem("warning", message))

    def raise_first(self, address: str) -> None:
        """Refuse the data set if anything makes it unusable as it was asked for.

        Raises:
            DataError: the first such problem, and how many there are besides it.
        """
        fatal = [problem for problem in self.found if problem.severity != "warning"]
        if not fatal:
            return
        more = len(fatal) - 1
        things = "problem" if more == 1 else "problems"
        tail = f" ({more} more {things}: `raymm data check {address}` lists them.)" if more else ""
        raise DataError(fatal[0].message + tail)


def some(items: Sequence[object] | NDArray[np.str_], limit: int = 5) -> str:
    """The first few of many things in words: 'a', 'b' and 7 more."""
    shown = [f"'{item}'" for item in items[:limit]]
    more = len(items) - len(shown)
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
