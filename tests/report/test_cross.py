from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raymm.errors import SweepError
from raymm.report.cross import CROSS_COLUMNS, CROSS_FILE, cross_matrix, read_cross


def test_a_matrix_is_of_means_over_seeds(tmp_path: Path) -> None:
    rows = [
        ("digits", "mca", 0.0, seed, 0, 0, f"k{seed}", test, 0.5 + 0.1 * seed - test, None)
        for seed in (0, 1)
        for test in (0.0, 0.4)
    ]
    frame = pd.DataFrame(rows, columns=[*CROSS_COLUMNS, "probe/auprc", "probe/pearson"])
    frame.to_csv(tmp_path / CROSS_FILE, index=False)
    cross = read_cross(tmp_path)
    assert cross is not None
    matrix = cross_matrix(cross, "probe/auprc")
    assert matrix is not None
    assert matrix["mean"].to_list() == pytest.approx([0.55, 0.15])
    assert matrix["std"].to_list() == pytest.approx([0.1 / 2**0.5] * 2)
    assert matrix["seeds"].to_list() == [2, 2] and matrix["test"].to_list() == [0.0, 0.4]
    assert cross_matrix(cross, "probe/pearson") is None
    assert cross_matrix(cross, "rank/median_mean") is None


def test_nothing_and_something_else(tmp_path: Path) -> None:
    assert read_cross(tmp_path) is None
    (tmp_path / CROSS_FILE).write_text("a,b\n1,2\n")
    with pytest.raises(SweepError, match="lacks the columns"):
        read_cross(tmp_path)
