"""A trained model put to use: `raymm.load(...)` returns an `Embedder`. Needs neither Ray nor a data set.

Shapes: n samples, d components.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from raymm.data.dataset import Dataset
from raymm.errors import ConfigError, DataError
from raymm.training.new_samples import Values
from raymm.training.saved import Embedded, SavedModel, load_model

RUNS = "runs:/"
Tables: TypeAlias = Mapping[str, Values]
"""Modality -> its values. See `Embedder.transform`."""
Rows: TypeAlias = "Tables | Dataset | Embeddings | pd.DataFrame | NDArray[np.floating]"
"""Samples still to be embedded; or embeddings, (n, d)."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of samples as frames: a row for each sample, a column for each component.

    Attributes:
        fusion: (n, d) of everything that a sample has; all samples, in the order they were given.
        parts: (at most n, d) of each modality alone ("gene") and, where the model has such, of sets
            of them ("gene+protein"), of those samples that have it.
    """

    fusion: pd.DataFrame
    parts: Mapping[str, pd.DataFrame]


class Embedder:
    """A trained model with the manners of scikit-learn.

    Nothing is fitted: `fit` is there for pipelines. Embeddings are not normalised.

    Args:
        model: as `raymm.training.saved.load_model` returns it.
        batch_size: samples embedded at a time.
    """

    def __init__(self, model: SavedModel, *, batch_size: int = 256) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size = {batch_size} is out of range. Give 1 or more.")
        self.model, self.batch_size = model, batch_size

    def __repr__(self) -> str:
        card = self.model.card
        modalities = ", ".join(f"{s.name} ({s.kind}, {s.width})" for s in card.specs)
        return f"Embedder({card.config.model.name} of {modalities}; trained on {card.dataset})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the model knows."""
        return self.model.card.names

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each modality, in the model's order; frames may have them in another."""
        return dict(zip(self.modalities, self.model.card.columns, strict=True))

    @property
    def metrics(self) -> Mapping[str, float]:
        """What the test split of its training gave, under the stable names."""
        return self.model.metrics

    def fit(self, tables: object = None, labels: object = None) -> Embedder:
        """Return the embedder itself: it is trained already."""
        return self

    def transform(self, tables: Tables | Dataset) -> Embeddings:
        """Embed samples, standardised as in training. Modalities may be missing.

        Args:
            tables: modality -> frame with the sample ids as index, columns in any order, a Series of
                (vectors, width) arrays for a sequence; or modality -> (n, columns) array, or list
                of sequences, of the same samples in the same order. A sample has no modality whose
                frame lacks it, whose row is all NaN, or whose sequence is None; a single NaN is a
                value that is missing. Or a whole data set, as `raymm.data.sources.load_dataset`
                returns.

        Raises:
            DataError: a modality or a column is unknown or lacking, shapes do not fit, there is
                no sample, or one without any modality.
        """
        if isinstance(tables, Dataset):
            embedded = self.model.embed_dataset(tables, batch_size=self.batch_size)
            return self._framed(embedded, pd.Index(tables.ids, name="id"))
        if not isinstance(tables, Mapping):
            raise DataError(
                f"Tables are given as {type(tables).__name__}. Give a mapping of modality to table, "
                f"such as {{'{self.modalities[0]}': frame}}."
            )
        if tables and not any(len(values) for values in tables.values()):
            raise DataError(f"{', '.join(tables)}: there is no sample to embed.")
        embedded = self.model.embed(tables, batch_size=self.batch_size)
        return self._framed(embedded, _index(tables))

    def fit_transform(self, tables: Tables | Dataset, labels: object = None) -> Embeddings:
        """The same as `transform`."""
        return self.transform(tables)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the fusion embedding's d components."""
        width = self.model.card.config.model.width
        return np.array([f"e{number}" for number in range(width)], dtype=object)

    def similarity(self, samples: Rows, others: Rows | None = None) -> pd.DataFrame:
        """Cosine of each sample's embedding with each other one's, (n, m), in [-1, 1].

        Args:
            samples: samples, whose fusion embeddings are compared; or embeddings, such as
                `transform(...).parts["gene"]`.
            others: what they are compared with; themselves if not given.

        Raises:
            DataError: as in `transform`, or the embeddings are of different widths.
        """
        left = self._rows(samples, "samples")
        right = left if others is None else self._rows(others, "others")
        _check_widths(left, right)
        return pd.DataFrame(cosine_similarity(left, right), left.index, right.index)

    def retrieve(self, queries: Rows, gallery: Rows, k: int = 5) -> pd.DataFrame:
        """The k samples of a gallery that are most like each query, by cosine.

        Args:
            queries: samples, whose fusion embeddings are looked for; or embeddings, such as
                `transform(...).parts["gene"]`.
            gallery: samples or embeddings among which they are looked for.
            k: how many are returned for each; at most as many as the gallery has.

        Returns:
            A row for each find, the best first: query, rank (from 1), found, similarity.

        Raises:
            DataError: as in `transform`, the embeddings are of different widths, or k does not fit.
        """
        asked, among = self._rows(queries, "queries"), self._rows(gallery, "gallery")
        _check_widths(asked, among)
        if not 1 <= k <= len(among):
            raise DataError(f"k = {k} is out of range: the gallery has {len(among):,} sample(s).")
        search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
        distances, places = search.fit(among.to_numpy()).kneighbors(asked.to_numpy())
        return pd.DataFrame(
            {
                "query": asked.index.repeat(k),
                "rank": np.tile(np.arange(1, k + 1), len(asked)),
                "found": among.index[places.ravel()],
                "similarity": 1 - distances.ravel(),
            }
        )

    def _framed(self, embedded: Embedded, index: pd.Index) -> Embeddings:
        names = list(self.get_feature_names_out())
        columns = names[: embedded.fusion.shape[1]]
        parts = {
            name: pd.DataFrame(vectors[there], index[there], columns)
            for name, vectors, there in zip(
                embedded.names, embedded.vectors, embedded.present, strict=True
            )
        }
        return Embeddings(pd.DataFrame(embedded.fusion, index, columns), parts)

    def _rows(self, rows: Rows, what: str) -> pd.DataFrame:
        """Embeddings as a frame, made first where samples are given."""
        if isinstance(rows, Mapping | Dataset):
            rows = self.transform(rows)
        if isinstance(rows, Embeddings):
            return rows.fusion
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(np.atleast_2d(rows))
        if not len(frame):
            raise DataError(f"{what} holds no embedding.")
        if not np.isfinite(frame.to_numpy(dtype=np.float64)).all():
            raise DataError(f"{what} holds values that are no finite numbers: no embeddings.")
        return frame


def load(
    address: str | os.PathLike[str], *, tracking_uri: str | None = None, batch_size: int = 256
) -> Embedder:
    """A trained model, from the run or the folder of a finished cell.

    Args:
        address: "runs:/<run id>" of a cell in MLflow, or the cell's folder: a path, s3:// or another
            fsspec address.
        tracking_uri: MLflow store that has the run; None for the local one.
        batch_size: samples embedded at a time.

    Raises:
        DataError: there is no finished model there, a file is damaged, or another science version
            has trained it.
        TrackingError: MLflow cannot be asked.
    """
    place = os.fspath(address)
    folder = folder_of_run(place, tracking_uri) if place.startswith(RUNS) else place
    return Embedder(load_model(folder), batch_size=batch_size)


def folder_of_run(address: str, tracking_uri: str | None) -> str:
    """Where the run of a cell says that its model lies.

    Raises:
        DataError: it is no run of a cell, or one that is not finished.
        TrackingError: MLflow cannot be asked, or has no such run.
    """
    from raymm.sweep.tags import KEY, STORAGE  # a folder can do without MLflow
    from raymm.tracking import Store, ui_command

    run_id = address.removeprefix(RUNS).strip("/")
    store = Store(tracking_uri)
    if not store.look():
        raise DataError(
            f"{ui_command(store.uri)} has no ledger, so there is no run '{run_id}'. Give its "
            "tracking_uri, or the folder of the cell: <storage>/<cell key>."
        )
    run = store.get(run_id)
    if KEY not in run.tags:
        raise DataError(
            f"Run '{run_id}' ({run.name}) is not a cell's. Give the run id of one training (tag "
            f"{KEY}); a sweep's cells are the runs below it."
        )
    if run.status != "FINISHED":
        raise DataError(
            f"Run '{run_id}' ({run.name}) is {run.status.lower()}, not finished: the same sweep "
            "again goes on with it."
        )
    return run.tags[STORAGE]


def _index(tables: Tables) -> pd.Index:
    """The samples in the order in which `raymm.training.new_samples` lays tables side by side."""
    framed = [v.index for v in tables.values() if isinstance(v, pd.DataFrame | pd.Series)]
    if framed:
        samples = list(dict.fromkeys(chain.from_iterable(framed)))
        joined: pd.Index = pd.Index(samples, name=framed[0].name)
        return joined
    first: Sequence[object] | NDArray[np.floating] = next(iter(tables.values()))  # type: ignore[assignment]
    return pd.RangeIndex(len(first))


def _check_widths(one: pd.DataFrame, two: pd.DataFrame) -> None:
    if one.shape[1] != two.shape[1]:
        raise DataError(
            f"Embeddings of {one.shape[1]} and of {two.shape[1]} components cannot be compared: they "
            "are of two models."
        )
