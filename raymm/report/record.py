"""All that a report is made of: a sweep's cells as a table, and what else is known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from raymm.report.sample_tests import Samples
from raymm.report.tables import cells_frame, metric_columns
from raymm.sweep.cells import Cell, CellResult

Curve = Sequence[Mapping[str, float]]
"""One mapping per epoch: "epoch", "loss/train", "loss/val", ..."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep, or several side by side.

    Attributes:
        name: of the sweep.
        cells: as of `raymm.report.tables.cells_frame`.
        curves: by cell key; a cell may have none.
        samples: what cells kept of their test split, by cell key; cells may have none.
        command: that made it, to be run again.
        settings: of the sweep, nested or flat.
        environment: versions and machine.
        fingerprints: of the data, by name of the data set; empty where they are not recorded.
        storage: root of the cells' folders, where it is known.
        cross: train sparsity x test sparsity, as of `raymm.report.cross.CROSS_COLUMNS`; or None.
        in_parts: titles of the cells that were trained in micro-batches, for want of memory.
        notes: sentences on what is left out, and why, and on what came out otherwise.
    """

    name: str
    cells: pd.DataFrame
    curves: Mapping[str, Curve] = field(default_factory=dict)
    samples: Samples = field(default_factory=dict)
    command: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    cross: pd.DataFrame | None = None
    in_parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> pd.DataFrame:
        """The cells that finished."""
        return self.cells[self.cells["status"] == "finished"]


def record_of(
    results: Sequence[CellResult],
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
    samples: Samples | None = None,
    fingerprints: Mapping[str, str] | None = None,
    storage: str | None = None,
    cross: pd.DataFrame | None = None,
) -> SweepRecord:
    """The record of a sweep whose results are at hand.

    Raises:
        SweepError: two results stand for the same condition and seeds.
    """
    cells, notes = only_numbers(cells_frame(results))
    in_parts = sorted(Cell(r.key, r.cell).title for r in results if r.micro_batches > 1)
    return SweepRecord(
        name=name,
        cells=cells,
        curves={result.key: result.curve for result in results if result.curve},
        samples=samples or {},
        command=command,
        settings=settings,
        environment=environment,
        fingerprints=fingerprints or {},
        storage=storage,
        cross=cross,
        in_parts=tuple(in_parts),
        notes=(*notes, *parts_notes(in_parts)),
    )


def parts_notes(in_parts: Sequence[str]) -> tuple[str, ...]:
    """A sentence on the cells that were trained in micro-batches, if there are any."""
    if not in_parts:
        return ()
    return (
        f"{len(in_parts)} cell(s) ran out of memory and were trained with each step in parts, "
        f"which changes their numbers by rounding alone: {', '.join(in_parts[:5])}.",
    )


def only_numbers(cells: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells with nan for every metric that is no finite number, and sentences that say so.

    nan itself is not mentioned: it says that a metric does not exist for a cell.
    """
    cells, notes = cells.copy(), []
    for metric in metric_columns(cells):
        numbers = pd.to_numeric(cells[metric], errors="coerce").astype("float64")
        strange = cells[metric].notna() & ~numbers.map(math.isfinite)
        if strange.any():
            first = cells[strange].iloc[0]
            notes.append(
                f"{int(strange.sum())} value(s) of {metric} are no finite numbers and count as "
                f"missing; the first is {str(first[metric])[:40]!r} of cell {first['cell_key']}."
            )
        cells[metric] = numbers.mask(strange)
    return cells, tuple(notes)
