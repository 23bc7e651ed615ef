"""Your own data: a folder with one Parquet or CSV table per modality, keyed by sample id.

- `<modality>.parquet` or `.csv`: the first column, or the index that pandas wrote, is the sample
  id; other columns are numbers. A sample without the modality has no row; a row without any value
  counts as no row. A value missing inside a row stays NaN: its token is its column's embedding.
- A sequence is a Parquet table with one column of lists of vectors. A component missing in a vector
  takes the train split's mean.
- `labels.parquet` or `.csv` (optional): label columns, same ids. Samples without a label are used
  for training all the same, and left out of the probes.
- `dataset.toml` (optional): names, columns, the kind of task; see `manifest.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.fingerprint import fingerprint
from raymm.data.problems import Problem, Problems, some
from raymm.data.sources import manifest as manifests
from raymm.data.sources.labels import LabelColumns
from raymm.data.sources.manifest import Manifest
from raymm.data.sources.names import note_names
from raymm.data.sources.place import Place, open_place
from raymm.data.sources.raw import RawModality, read_modality, shortened
from raymm.data.sources.tables import SUFFIXES, Table, read_table
from raymm.errors import DataError, nearest

LABELS = "labels"


@dataclass(frozen=True)
class Survey:
    """All that was found in a folder, right or wrong.

    Attributes:
        address: of the folder.
        dataset: what can be used; its label is None where there is none, or none was chosen.
        candidates: every label column that can be used, where none was chosen; else empty.
        emptied: modality -> rows without any value.
        problems: all that is wrong, in the order found.
    """

    address: str
    dataset: Dataset
    candidates: tuple[Label, ...]
    emptied: dict[str, int]
    problems: tuple[Problem, ...]


def load_folder(address: str, modalities: Sequence[str] = (), label: str | None = None) -> Dataset:
    """Read a folder of tables.

    Args:
        address: local path, or an address that fsspec knows, such as s3://bucket/folder.
        modalities: tables used, in this order; empty means dataset.toml's, else all by name.
        label: label column; None means dataset.toml's, else the only one.

    Raises:
        DataError: something makes it unusable; the message names the place and the remedy.
    """
    problems = Problems()
    survey = _survey(address, modalities, label, problems)
    problems.raise_first(address)
    return survey.dataset


def survey_folder(address: str, modalities: Sequence[str] = (), label: str | None = None) -> Survey:
    """Read a folder of tables and note every problem instead of stopping at the first.

    Raises:
        DataError: there is nothing to look at (no folder, no tables, a broken dataset.toml, or a
            modality that is not there).
    """
    return _survey(address, modalities, label, Problems())


def _survey(
    address: str, modalities: Sequence[str], label: str | None, problems: Problems
) -> Survey:
    place = open_place(address)
    manifest = _manifest(place)
    files = _tables(place)
    labels_file = files.pop(LABELS, None)
    names = _chosen(place, tuple(files), modalities, manifest)
    note_names(place, {name: files[name] for name in names}, problems)
    raws = [
        raw
        for name in names
        if (raw := _raw(place, files[name], name, manifest, problems)) is not None
    ]
    _note_strangers(place, raws, problems)
    columns = _label_columns(place, labels_file, label, manifest, problems)
    return _assemble(place, raws, columns, label, manifest, problems)


def _manifest(place: Place) -> Manifest:
    if manifests.FILE not in place.files:
        return Manifest()
    return manifests.parse(place.read(manifests.FILE), f"{place.address}/{manifests.FILE}")


def _tables(place: Place) -> dict[str, str]:
    """Table name -> file name."""
    tables: dict[str, str] = {}
    for file in place.files:
        name, dot, suffix = file.rpartition(".")
        if dot + suffix not in SUFFIXES:
            continue
        if name in tables:
            raise DataError(
                f"{place.address} holds both {tables[name]} and {file}. Keep one of them."
            )
        tables[name] = file
    if not tables.keys() - {LABELS}:
        held = some(place.files) or "nothing"
        raise DataError(
            f"{place.address} holds no tables of modalities ({held}). Put one Parquet or CSV file "
            "per modality into it."
        )
    return tables


def _chosen(
    place: Place, known: Sequence[str], asked: Sequence[str], manifest: Manifest
) -> tuple[str, ...]:
    names = tuple(asked) or manifest.modalities or tuple(known)
    for name in (*names, *manifest.columns, *manifest.max_length):
        if name not in known:
            raise DataError(f"{place.address} has no modality '{name}': {nearest(name, known)}")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError(f"The modality '{twice[0]}' is asked for twice. Name each one once.")
    return names


def _raw(
    place: Place, file: str, name: str, manifest: Manifest, problems: Problems
) -> RawModality | None:
    try:
        table = read_table(place.read(file), f"{place.address}/{file}", manifest.id)
        table = table.select(manifest.columns.get(name, ()))
    except DataError as error:
        problems.error(str(error))
        return None
    raw = read_modality(name, table, problems)
    length = manifest.max_length.get(name)
    return raw if raw is None or length is None else shortened(raw, length, table.where, problems)


def _note_strangers(place: Place, raws: Sequence[RawModality], problems: Problems) -> None:
    """Two tables without a common sample: their ids are of two kinds."""
    for one, other in itertools.combinations(raws, 2):
        if len(one.ids) and len(other.ids) and not np.isin(one.ids, other.ids).any():
            problems.error(
                f"{place.address}: the tables '{one.name}' ({some(one.ids, 2)}) and '{other.name}' "
                f"({some(other.ids, 2)}) have no sample id in common. Use the same ids in all "
                "tables, or choose modalities that go together with --modalities."
            )


def _label_columns(
    place: Place, file: str | None, asked: str | None, manifest: Manifest, problems: Problems
) -> LabelColumns | None:
    wanted = asked or manifest.label
    if file is None:
        if wanted:
            problems.error(
                f"{place.address} has no labels file, but the label '{wanted}' is asked for. Add "
                "labels.parquet or labels.csv."
            )
        return None
    try:
        table: Table = read_table(place.read(file), f"{place.address}/{file}", manifest.id)
    except DataError as error:
        problems.error(str(error))
        return None
    return LabelColumns(table, manifest)


def _assemble(
    place: Place,
    raws: Sequence[RawModality],
    columns: LabelColumns | None,
    asked: str | None,
    manifest: Manifest,
    problems: Problems,
) -> Survey:
    ids = np.unique(np.concatenate([raw.ids for raw in raws])) if raws else np.array([], np.str_)
    modalities = tuple(_laid_out(raw, ids) for raw in raws)
    label: Label | None = None
    candidates: tuple[Label, ...] = ()
    if columns is not None and len(ids):
        label, candidates = _labels(columns, asked, ids, problems)
    name = manifest.name or place.address.rsplit("/", 1)[-1]
    dataset = Dataset(
        name, ids, modalities, label, fingerprint(ids, modalities, label), manifest.licence
    )
    emptied = {raw.name: raw.emptied for raw in raws}
    return Survey(place.address, dataset, candidates, emptied, tuple(problems.found))


def _laid_out(raw: RawModality, ids: np.ndarray) -> Modality:
    """The modality with its rows in the order of the samples."""
    order = np.argsort(raw.ids)
    rows = np.searchsorted(ids, raw.ids[order]).astype(np.int64)
    if raw.offsets is None:
        return Modality(raw.name, raw.kind, rows, raw.values[order], None, raw.columns)
    lengths = np.diff(raw.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    source = np.arange(offsets[-1]) + np.repeat(raw.offsets[:-1][order] - offsets[:-1], lengths)
    return Modality(raw.name, raw.kind, rows, raw.values[source], offsets, raw.columns)


def _labels(
    columns: LabelColumns, asked: str | None, ids: np.ndarray, problems: Problems
) -> tuple[Label | None, tuple[Label, ...]]:
    try:
        chosen = columns.choose(asked)
    except DataError as error:
        problems.error(str(error))
        return None, ()
    names = columns.table.columns.column_names
    if chosen is not None:
        return columns.encode(chosen, ids, problems), ()
    problems.choice(
        f"{columns.table.where} has several label columns: {some(names, 12)}. Choose one with "
        f"--label, such as `--label {names[0]}`, or name it in dataset.toml."
    )
    encoded = [columns.encode(name, ids, Problems()) for name in names]
    return None, tuple(label for label in encoded if label is not None)
