"""What a sweep's runner trains next. Imports no Ray: a dealer is asked, and told what came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from raymm.sweep.cells import Cell, CellResult
from raymm.training.dispatch import Score

Curve = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Deal:
    """Cells that are dealt together: one trial of Tune.

    Attributes:
        name: unlike that of any other deal of the sweep.
        score: the split that they are scored on at the end.
        tags: what the cells' runs in the ledger say besides.
    """

    name: str
    cells: tuple[Cell, ...]
    score: Score = "test"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """A cell that is to end before its time.

    Attributes:
        discard: leave nothing of it in the storage.
    """

    cell: Cell
    discard: bool


class Dealer(Protocol):
    """Says what is to be trained next, which may depend on what came of what it dealt before."""

    def next(self) -> Deal | None:
        """The next deal; None if there is none until more is heard of earlier ones."""

    @property
    def exhausted(self) -> bool:
        """Whether no more deals are to come, whatever is heard."""

    @property
    def at_most(self) -> int:
        """The most cells that are to come."""

    @property
    def cells_per_deal(self) -> int:
        """Cells that a deal has."""

    def heard(
        self, deal: Deal, cell: Cell, curve: Curve, result: CellResult | None
    ) -> Collection[Stop]:
        """Take news of a cell of a deal.

        Args:
            curve: all its epochs so far.
            result: what came of it; None while it is trained.

        Returns:
            Cells that are to be stopped.
        """

    def why_stopped(self, cell: Cell) -> str:
        """The reason for which the dealer had a cell stopped."""


class EachOnce:
    """Deals cells one by one, in their order: a grid."""

    cells_per_deal = 1

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = deque(cells)

    def next(self) -> Deal | None:
        """The next cell."""
        if not self._cells:
            return None
        cell = self._cells.popleft()
        return Deal(cell.key, (cell,))

    @property
    def exhausted(self) -> bool:
        """Whether all cells are dealt."""
        return not self._cells

    @property
    def at_most(self) -> int:
        """Cells not dealt yet."""
        return len(self._cells)

    def heard(
        self, deal: Deal, cell: Cell, curve: Curve, result: CellResult | None
    ) -> Collection[Stop]:
        """Nothing follows from what comes of a cell of a grid."""
        return ()

    def why_stopped(self, cell: Cell) -> str:
        """A grid stops none."""
        return ""
