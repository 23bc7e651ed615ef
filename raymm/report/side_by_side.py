"""Several sweeps as one record, so that their models can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import pandas as pd

from raymm.errors import SweepError
from raymm.report.comparisons import PAIRED_BY
from raymm.report.names import listed, model_label
from raymm.report.record import SweepRecord
from raymm.report.tables import CELL_COLUMNS, metric_columns

CONDITION = ["dataset", "model", "sparsity", *PAIRED_BY]
PLACE = ["dataset", "sparsity", *PAIRED_BY]
GALLERY = "retrieval/gallery_size"


def side_by_side(records: Sequence[SweepRecord]) -> SweepRecord:
    """The cells of all the sweeps; one that several share counts once.

    A model that several sweeps trained with different settings is told apart by the sweep's name.
    Cells that one sweep has and another lacks are said in the notes; paired tests leave them out by
    themselves, and means over sparsities are of seeds that have every sparsity.

    Raises:
        SweepError: the sweeps are not of the same data, or not scored on the same samples.
    """
    if len(records) == 1:
        return records[0]
    names = [record.name for record in records]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SweepError(f"Sweep {doubled[0]} is named twice. Name each sweep once.")
    notes = _same_data(records)
    cells = _joined(records)
    _same_test_split(cells)
    notes += _missing(cells)
    keys = set(cells["cell_key"])
    crosses = [record.cross for record in records if record.cross is not None]
    return SweepRecord(
        name=" and ".join(names),
        cells=cells.drop(columns="sweep"),
        curves={k: c for record in records for k, c in record.curves.items() if k in keys},
        samples={k: s for record in records for k, s in record.samples.items() if k in keys},
        command=f"raymm report {' '.join(names)}",
        settings={record.name: record.settings for record in records},
        environment=_environment(records),
        fingerprints={k: v for record in records for k, v in record.fingerprints.items()},
        cross=_cross(pd.concat(crosses), cells) if crosses else None,
        notes=tuple(note for record in records for note in record.notes) + notes,
    )


def _same_data(records: Sequence[SweepRecord]) -> tuple[str, ...]:
    """Refuse sweeps of different data; say where that cannot be known."""
    notes = []
    for one, other in combinations(records, 2):
        mine, theirs = set(one.cells["dataset"]), set(other.cells["dataset"])
        if mine != theirs:
            raise SweepError(
                f"{one.name} is of {listed(sorted(mine))}, {other.name} of "
                f"{listed(sorted(theirs))}. Only sweeps of the same data can be compared."
            )
        for dataset in sorted(mine):
            prints = (one.fingerprints.get(dataset), other.fingerprints.get(dataset))
            if None in prints:
                unknown = one.name if prints[0] is None else other.name
                notes.append(
                    f"Of {unknown} it is not recorded which data {dataset} was; that it is the "
                    "same as the other's is taken on trust."
                )
            elif prints[0] != prints[1]:
                raise SweepError(
                    f"{dataset} is not the same in both sweeps: its fingerprint is {prints[0]} in "
                    f"{one.name} and {prints[1]} in {other.name}. Values, labels or samples differ, "
                    "so a difference between models could be one of the data. Train both on the "
                    "same data, or report them separately."
                )
    return tuple(dict.fromkeys(notes))


def _joined(records: Sequence[SweepRecord]) -> pd.DataFrame:
    """All cells once, in the columns' stable order, with a column "sweep"."""
    parts = [record.cells.assign(sweep=record.name) for record in records]
    cells = pd.concat(parts, ignore_index=True)
    # Of a cell that one sweep finished and another did not, the finished one counts.
    finished_first = cells["status"].ne("finished").sort_values(kind="stable").index
    cells = cells.loc[finished_first].drop_duplicates("cell_key").sort_index(kind="stable")
    twice = cells.duplicated(CONDITION, keep=False)
    clashing = set(cells.loc[twice, "model"])
    told_apart = cells["model"] + ", " + cells["sweep"]
    cells["model"] = told_apart.where(cells["model"].isin(clashing), cells["model"])
    metrics = metric_columns(cells.drop(columns="sweep"))
    return cells[[*CELL_COLUMNS, *metrics, "sweep"]].reset_index(drop=True)


def _same_test_split(cells: pd.DataFrame) -> None:
    """Refuse cells that claim the same split and mask but were scored on other samples.

    The gallery of ranks is the whole test split: at one sparsity, mask and split its size is one.
    Sweeps with another --test-fraction, --modalities or --label would be paired without this.
    """
    if GALLERY not in cells:
        return
    place = ["dataset", "sparsity", "mask_seed", "split_seed"]
    known = cells[cells["status"] == "finished"].dropna(subset=[GALLERY])
    for where, rows in known.groupby(place, sort=False):
        sizes = rows.groupby(GALLERY, sort=True)["sweep"].first()
        if len(sizes) > 1:
            said = listed(f"{size:g} in {sweep}" for size, sweep in sizes.items())
            raise SweepError(
                f"The sweeps were not scored on the same samples: at S = {where[1]:g} the test split "
                f"has {said}. Their --test-fraction, --validation-fraction or --modalities differ, "
                "and a difference between models could be one of the samples. Train both with the "
                "same, or report them separately."
            )


def _missing(cells: pd.DataFrame) -> tuple[str, ...]:
    """Which models lack places (sparsity and seeds) that others have."""
    notes = []
    finished = cells[cells["status"] == "finished"]
    everywhere = set(finished[PLACE].itertuples(index=False, name=None))
    for model in cells["model"].unique():
        mine = finished[finished["model"] == model]
        lacking = sorted(everywhere - set(mine[PLACE].itertuples(index=False, name=None)))
        if lacking:
            first = ", ".join(f"S = {place[1]:g} seed {place[2]}" for place in lacking[:3])
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            notes.append(
                f"{model_label(str(model))} has no finished cell at {first}{more}; other models "
                "have. Paired tests leave these places out for it."
            )
    return tuple(notes)


def _environment(records: Sequence[SweepRecord]) -> Mapping[str, str]:
    """What is the same everywhere once, the rest by sweep."""
    names = dict.fromkeys(name for record in records for name in record.environment)
    found: dict[str, str] = {}
    for name in names:
        values = {record.name: record.environment.get(name, "-") for record in records}
        if len(set(values.values())) == 1:
            found[name] = next(iter(values.values()))
        else:
            found |= {f"{name} ({sweep})": value for sweep, value in values.items()}
    return found


def _cross(cross: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """With the models' names of the whole."""
    names = cells.set_index("cell_key")["model"]
    known = cross[cross["cell_key"].isin(names.index)].drop_duplicates(
        ["cell_key", "test_sparsity"]
    )
    return known.assign(model=known["cell_key"].map(names))
