from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from raymm.data import dataset as datasets
from raymm.data.dataset import Kind, Modality
from raymm.data.scaling import fit


def modality(values: NDArray[np.float32], kind: Kind = "table", seed: int = 0) -> Modality:
    """A table with a row for each vector, or sequences of 1 to 6 vectors."""
    offsets = None
    count = len(values)
    if kind == "sequence":
        lengths = np.random.default_rng(seed).integers(1, 7, size=len(values))
        ends = np.minimum(np.cumsum(lengths), len(values))
        offsets = np.concatenate([[0], np.unique(ends)])
        count = len(offsets) - 1
    names = tuple(str(column) for column in range(values.shape[1]))
    return Modality("m", kind, np.arange(count), values, offsets, names)


def eagerly(data: Modality, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """All values at once, in float64, by the definition."""
    chosen = np.isin(np.arange(len(data.rows)), rows)
    if data.offsets is not None:
        chosen = np.repeat(chosen, np.diff(data.offsets))
    known = data.values[chosen].astype(np.float64)
    seen = ~np.isnan(known).all(axis=0)
    mean, deviation = np.full(data.width, np.nan), np.full(data.width, np.nan)
    mean[seen] = np.nanmean(known[:, seen], axis=0)
    deviation[seen] = np.nanstd(known[:, seen], axis=0)
    with np.errstate(invalid="ignore"):
        constant = deviation <= 1e-12 * np.abs(mean)
    scaled = (data.values - mean) / np.where(constant, 1, deviation)
    return np.nan_to_num(scaled, nan=0.0) if data.kind == "sequence" else scaled


def lazily(data: Modality, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    scaled = fit(data, rows).apply_(torch.from_numpy(data.values.copy()))
    return (scaled.nan_to_num_(nan=0.0) if data.kind == "sequence" else scaled).numpy()


def awkward(vectors: int, seed: int = 0) -> NDArray[np.float32]:
    """Columns: plain, far from 0, tiny, huge, constant, nearly all missing, all missing."""
    noise = np.random.default_rng(seed)
    values = noise.normal(size=(vectors, 7))
    values *= [1, 3, 1e-25, 1e25, 0, 1, 1]
    values += [0, 2e6, 0, 0, 0.1, -4, 0]
    values[noise.random((vectors, 7)) < 0.1] = np.nan
    values[1:, 5] = np.nan
    values[:, 6] = np.nan
    return values.astype(np.float32)


@pytest.mark.parametrize("kind", ["table", "sequence"])
@pytest.mark.parametrize("elements", [1, 50, 2**20])
def test_lazy_numbers_are_the_eager_ones(
    kind: Kind, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "PART_ELEMENTS", elements)
    data = modality(awkward(300), kind)
    rows = np.flatnonzero(np.random.default_rng(1).random(len(data.rows)) < 0.6)
    wanted = eagerly(data, rows)
    assert np.nanmax(np.abs(wanted[:, :4])) > 2
    np.testing.assert_allclose(lazily(data, rows), wanted, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 99), st.integers(1, 60), st.sampled_from([0, 1e3, -1e7]))
@settings(max_examples=60, deadline=None)
def test_any_part_size_gives_the_same(vectors: int, seed: int, elements: int, far: float) -> None:
    noise = np.random.default_rng(seed)
    values = (noise.normal(size=(vectors, 3)) * [1, 0, 1e4] + far).astype(np.float32)
    values[noise.random((vectors, 3)) < 0.3] = np.nan
    data = modality(values, "sequence", seed)
    rows = np.flatnonzero(noise.random(len(data.rows)) < 0.7)
    before = datasets.PART_ELEMENTS
    datasets.PART_ELEMENTS = elements
    try:
        found = lazily(data, rows)
    finally:
        datasets.PART_ELEMENTS = before
    np.testing.assert_allclose(found, eagerly(data, rows), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["table", "sequence"])
def test_parts_are_small_and_hold_everything_in_order(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "PART_ELEMENTS", 40)
    data = modality(np.arange(400, dtype=np.float32).reshape(100, 4), kind)
    rows = np.arange(len(data.rows))
    for parts in (list(data.parts()), list(data.parts_of(rows))):
        assert len(parts) > 4 and max(len(part) for part in parts) <= 10 + 6
        np.testing.assert_array_equal(np.concatenate(parts), data.values)
    some = rows[::3]
    np.testing.assert_array_equal(
        np.concatenate(list(data.parts_of(some))),
        data.values[np.isin(np.arange(len(rows)), some).repeat(np.diff(data.offsets))]
        if data.offsets is not None
        else data.values[some],
    )


def test_missing_is_looked_for_unless_it_is_known() -> None:
    assert modality(awkward(5)).has_missing
    assert not modality(np.ones((5, 2), np.float32)).has_missing
    known = Modality("m", "table", np.arange(1), np.ones((1, 1), np.float32), None, ("x",), True)
    assert known.has_missing
