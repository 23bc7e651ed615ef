from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from raymm.report.embedding_map import embedding_map, has_umap
from tests.report.synthetic import kept, sweep


def samples() -> pd.DataFrame:
    (frame,) = kept(sweep((0,), sparsities=(0.0,), models=("mca",)), count=50).values()
    return frame


def test_principal_components_are_scikit_learns() -> None:
    frame = samples()
    found = embedding_map(frame, fusion_only=True, method="PCA")
    assert found is not None and set(found.kinds) == {"fusion"}
    expected = PCA(2).fit_transform(np.stack(frame["map/fusion"].to_list()))
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=1e-9)
    assert found.labels.tolist() == frame["label"].tolist()


def test_all_kinds_in_one_plane_and_only_what_was_kept() -> None:
    frame = samples()
    frame.loc[:29, "map/kar"] = None
    found = embedding_map(frame, fusion_only=False, method="PCA")
    assert found is not None and len(found.points) == 50 + 50 + 20
    assert [int((found.kinds == kind).sum()) for kind in ("fusion", "fou", "kar")] == [50, 50, 20]
    assert embedding_map(frame.head(4), fusion_only=True, method="PCA") is None


@pytest.mark.skipif(not has_umap(), reason="needs umap-learn: pip install 'raymm[maps]'")
def test_umap_is_the_same_each_time() -> None:
    one, other = (embedding_map(samples(), fusion_only=True, method="UMAP") for _ in range(2))
    assert one is not None and other is not None and (one.points == other.points).all()


def test_a_folder_called_umap_is_not_umap_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "umap").mkdir()
    before = has_umap()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert has_umap() == before
