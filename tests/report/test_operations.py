"""The report of the sweep over fusion operations."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console

from raymm.report.operations import (
    ERROR,
    LEAD,
    MEAN,
    RIDGE,
    ScoredCell,
    clustered_error,
    operations_frame,
    operations_tables,
    verdict,
    write_operations_report,
)

DIRECTIONS = ("image_to_text", "text_to_image")
PAIRS = 200
OWN = np.arange(PAIRS)


def ranks(at_1: float, at_5: float, at_10: float, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Ranks with these recalls, in an order of their own, the same in both directions."""
    hits = np.full(PAIRS, 50.0)
    for share, rank in ((at_10, 7.0), (at_5, 3.0), (at_1, 1.0)):
        hits[: round(share * PAIRS)] = rank
    return {each: np.random.default_rng(seed).permutation(hits) for each in DIRECTIONS}


def cell(
    model: str, at_1: float, at_5: float, at_10: float, *, epochs: int = 10, seed: int = 0
) -> ScoredCell:
    return ScoredCell(model, epochs, 2.5, ranks(at_1, at_5, at_10, seed))


BETTER = cell("add", 0.4, 0.7, 0.8)
CELLS = [BETTER, cell("add", 0.5, 0.7, 0.9, epochs=20), cell("dot attention", 0.1, 0.2, 0.3)]
RIDGE_RANKS = ranks(0.3, 0.55, 0.7)


def frame() -> pd.DataFrame:
    return operations_frame(CELLS, RIDGE_RANKS, OWN)


def test_a_row_is_the_mean_over_seeds_and_the_overall_recall_that_of_both_directions() -> None:
    uneven = dict(zip(DIRECTIONS, (ranks(0.2, 0.4, 0.6)[DIRECTIONS[0]],) * 2, strict=True))
    uneven["text_to_image"] = ranks(0.4, 0.4, 0.6)["text_to_image"]
    found = operations_frame([*CELLS, ScoredCell("uneven", 1, 1.0, uneven)], RIDGE_RANKS, OWN)
    rows = found.to_dict(orient="index")
    assert list(rows) == ["add", "dot attention", "uneven", RIDGE]
    assert rows["add"]["image to text R@1"] == pytest.approx(0.45)
    assert rows["add"][MEAN] == pytest.approx((0.45 + 0.7 + 0.85) / 3)
    assert (rows["add"]["epochs"], rows["add"]["seeds"]) == (15, 2)
    assert rows["uneven"]["R@1"] == pytest.approx(0.3)
    assert rows[RIDGE][MEAN] == pytest.approx((0.3 + 0.55 + 0.7) / 3)
    assert rows["add"][LEAD] == pytest.approx(rows["add"][MEAN] - rows[RIDGE][MEAN])


def test_the_error_is_that_of_paired_differences() -> None:
    """Where every pair is scored better by the same, there is none; else as scipy has it."""
    from scipy.stats import sem

    same = operations_frame([ScoredCell("ridge again", 1, 1.0, RIDGE_RANKS)], RIDGE_RANKS, OWN)
    assert (same[LEAD]["ridge again"], same[ERROR]["ridge again"]) == (0, 0)
    other = ranks(0.4, 0.6, 0.7, seed=1)
    found = operations_frame([ScoredCell("other", 1, 1.0, other)], RIDGE_RANKS, OWN)
    shares = [
        np.mean([r[d] <= k for d in DIRECTIONS for k in (1, 5, 10)], axis=0)
        for r in (other, RIDGE_RANKS)
    ]
    assert found[ERROR]["other"] == pytest.approx(sem(shares[0] - shares[1]))


def test_pairs_of_one_group_count_as_one() -> None:
    values = np.random.default_rng(0).normal(size=60)
    groups = np.arange(60)
    assert clustered_error(np.repeat(values, 5), np.repeat(groups, 5)) == pytest.approx(
        clustered_error(values, groups)
    )


def test_the_words_say_who_beats_ridge_and_who_does_not() -> None:
    lines = verdict(frame())
    assert lines[0].startswith("Better than ridge regression: add, 66.7 against 51.7 (+15.0 ± ")
    assert lines[1].startswith("Worse than ridge regression: dot attention, 20.0 against 51.7")


def test_a_lead_within_chance_is_no_win() -> None:
    near = cell("add", 0.31, 0.55, 0.7, seed=3)
    lines = verdict(operations_frame([near, CELLS[2]], RIDGE_RANKS, OWN))
    assert lines[0].startswith(
        "No model beats ridge regression beyond chance. The best mean recall has add: 52.0 against"
    )
    lines = verdict(operations_frame([BETTER, near], RIDGE_RANKS, OWN))
    assert "Better" in lines[0] or "No model" in lines[0]


def test_at_80_columns_no_heading_and_no_figure_is_cut() -> None:
    """Also with names that are longer than the built-in pairs'."""
    long = [
        ScoredCell("additive attention", 9, 2.5, {f"text_{a}_to_text_{b}": r for (a, b), r in
         zip((("a", "b"), ("b", "a")), ranks(0.4, 0.5, 0.6).values(), strict=True)})
    ]  # fmt: skip
    ridge = dict(zip(long[0].ranks, RIDGE_RANKS.values(), strict=True))
    for made in (frame(), operations_frame(long, ridge, OWN)):
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(operations_tables(made, "Retrieval of 200 held-out pairs of emoji, per cent"))
        text = console.export_text()
        assert "…" not in text and max(map(len, text.splitlines())) <= 80
        wanted = ("R@1", "R@5", "R@10", "mean", "against ridge", "loss", "epochs", "seeds")
        assert all(heading in text for heading in wanted)
        for value in made.loc[RIDGE].dropna().to_numpy(dtype=float):
            assert f"{100 * value:.1f}" in text


def test_the_file_shows_every_figure(tmp_path: Path) -> None:
    write_operations_report(
        frame(), ["CBMF wins."], tmp_path, title="Retrieval", name="emoji", command="python x",
        settings={"seeds": (0, 1)}, environment={"raymm": "1"},
    )  # fmt: skip
    report = (tmp_path / "report.md").read_text()
    assert "**45.0**" in report and "**30.0**" not in report and "30.0" in report
    assert "| image to text R@1 |" in report
    assert "CBMF wins." in report and "[0, 1]" in report and "python x" in report
    again = pd.read_csv(tmp_path / "operations.csv", index_col="model")
    assert again.shape == frame().shape
