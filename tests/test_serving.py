"""A trained model behind one wide table, sequences among its columns, as MLflow writes and loads it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raymm.embedder import Embedder
from raymm.errors import DataError
from raymm.serving import Served
from raymm.showcase.models import packed_model
from raymm.training.saved import SavedModel
from tests.training.test_saved import blood, made_up, sequences, trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    return trained("mca", tmp_path_factory.mktemp("cell"))


def wide() -> pd.DataFrame:
    """Four samples, of which two have no speech, and one no blood."""
    table = pd.DataFrame(
        blood(made_up())[:4].astype(np.float64),
        columns=["blood.na", "blood.k", "blood.ca", "blood.ph"],
        index=list("abcd"),
    )
    table["speech"] = pd.Series(
        [None if each is None else each.tolist() for each in sequences(made_up())[:4]],
        index=table.index,
        dtype=object,
    )
    table.iloc[2, :4] = np.nan
    return table


def embedded(saved: SavedModel) -> Embedder:
    return Embedder(saved)


def test_a_wide_table_is_what_its_parts_are(saved: SavedModel) -> None:
    table = wide()
    found = embedded(saved).transform(
        {
            "blood": table.iloc[:, :4].rename(columns=lambda name: name.removeprefix("blood.")),
            "speech": table["speech"].map(lambda each: each and np.array(each)),
        }
    )
    served = Served(embedded(saved))
    pd.testing.assert_frame_equal(served.predict(table), found.fusion)
    speech = served.predict(table, {"of": "speech"})
    assert list(speech.index) == list("abcd")
    assert list(speech.index[speech.isna().all(axis=1)]) == ["b", "d"]
    pd.testing.assert_frame_equal(speech.loc[["a", "c"]], found.parts["speech"])
    with pytest.raises(DataError, match="did you mean 'speech'"):
        served.predict(table, {"of": "speach"})
    with pytest.raises(DataError, match="lacks the column 'k'"):
        served.predict(table.drop(columns="blood.k"))


def test_mlflow_runs_it_with_sequences_and_holes(saved: SavedModel, tmp_path: Path) -> None:
    from raymm.tracking_artifacts import write_model

    packed = packed_model(saved.folder, "mca")
    write_model(packed, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
        table = wide()
        wanted = Served(embedded(saved)).predict(table)
        pd.testing.assert_frame_equal(loaded.predict(table), wanted)
        assert np.isfinite(loaded.predict(loaded.input_example)).all(axis=None)
    written = {path.name for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert "requirements.txt" in written
    assert not [name for name in written if name.endswith((".pkl", ".pt"))]
