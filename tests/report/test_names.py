from __future__ import annotations

import math

import pytest

from raymm.report.names import better, directed_label, listed, model_label, model_place, number


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("uniformity/fusion", "lower"),
        ("alignment/mean", "lower"),
        ("rank/median_fou", "lower"),
        ("recall/at_5_mean", "higher"),
        ("probe/auprc", "higher"),
        ("probe/accuracy", "higher"),
        ("probe/pearson", "higher"),
        ("probe/loss", "lower"),
        ("loss/val", "lower"),
        ("time/train_s", "lower"),
        ("throughput/samples_per_s", "higher"),
        ("retrieval/gallery_size", None),
        ("sparsity/realised", None),
    ],
)
def test_which_direction_is_better(metric: str, direction: str | None) -> None:
    assert better(metric) == direction


def test_labels() -> None:
    assert directed_label("rank/median_mean") == "median rank (lower is better)"
    assert directed_label("sparsity/realised") == "sparsity/realised"
    assert [model_label(m) for m in ("mca", "zorro", "eao")] == ["MCA", "Zorro", "EAO"]


def test_models_stand_in_the_settings_order_and_unknown_ones_last() -> None:
    assert sorted(["new", "eao", "mca", "zorro"], key=model_place) == ["mca", "zorro", "eao", "new"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-3.4, "-3.400"), (12.34, "12.3"), (12345.6, "12,346"), (math.nan, "-")],
)
def test_numbers_have_decimals_that_suit_their_size(value: float, text: str) -> None:
    assert number(value) == text


def test_a_spread_has_the_decimals_of_its_mean() -> None:
    assert number(0.5, like=120.0) == "0.5" and number(20.0, like=1.0) == "20.000"


@pytest.mark.parametrize(
    ("items", "text"), [(["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c")]
)
def test_lists(items: list[str], text: str) -> None:
    assert listed(items) == text
