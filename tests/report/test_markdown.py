from __future__ import annotations

import math
from collections.abc import Sequence

from raymm.report.evidence import weigh
from raymm.report.markdown import CAPTIONS, report_text
from raymm.report.record import record_of
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, kept, result, sweep


def text_of(results: Sequence[CellResult]) -> str:
    record = record_of(
        results,
        name="grid",
        command="python sweeps/sparsity_grid.py --name grid",
        settings={"model": {"width": 32}, "seeds": [0, 1], "label": None},
        environment={"torch": "2.13.0", "machine": "2 cores"},
    )
    return report_text(weigh(record), list(CAPTIONS))


def with_a_failure() -> list[CellResult]:
    """Two seeds, of which one cell failed."""
    results = [r for r in sweep() if not r.key.endswith("eao-0.8-1")]
    return [*results, failed("eao", 0.8, 1, "Loss is not finite | at step 3.\nLower it.")]


def test_the_report_says_what_it_must() -> None:
    text = text_of(with_a_failure())
    for wanted in (
        "# grid",
        "MCA at every S = 0",
        "With fewer than 3 seeds no test is possible",
        "300 at S = 0, ",
        "gallery shrinks with S",
        "![Figure 7](figure_7.png)",
        "Validation stands in the test split's place",
        "1 of 30 cells",
        r"| failed | Loss is not finite \| at step 3. Lower it. |",
        "python sweeps/sparsity_grid.py --name grid",
        "| model.width | 32 |",
        "| seeds | [0, 1] |",
        "| torch | 2.13.0 |",
    ):
        assert wanted in text
    assert " p = " not in text and "At no single sparsity" not in text


def test_the_report_shows_the_summarys_numbers() -> None:
    values = [r.metrics["probe/loss"] for r in sweep() if r.key.startswith("digits-mca-0.6")]
    mean, std = sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2)
    text = text_of(with_a_failure())
    assert f"| {mean:.3f} ±{std:.3f} |" in text
    assert "| **" not in text  # two seeds: no lead can be told from chance


def test_three_seeds_are_tested_and_a_lead_that_holds_is_bold() -> None:
    results = [
        result(
            model, sparsity, seed, metrics={"probe/auprc": mean + 0.01 * math.sin(3 * seed + mean)}
        )
        for model, mean in (("mca", 0.9), ("zorro", 0.6), ("eao", 0.5))
        for sparsity in (0.0, 0.4)
        for seed in range(4)
    ]
    text = text_of(results)
    assert "MCA is ahead of all others: Zorro by " in text and "4 seeds, Holm-corrected" in text
    assert "lead over all other models holds for MCA at S = 0 and 0.4" in text
    assert "no test is possible" not in text
    assert text.count("| **0.9") == 3 and text.count("| **") == 3


def test_models_that_are_equal_but_for_noise_are_not_told_apart() -> None:
    values = {"mca": [0.51, 0.49, 0.50], "eao": [0.49, 0.52, 0.49]}
    results = [
        result(model, sparsity, seed, metrics={"probe/auprc": value})
        for model in ("mca", "eao")
        for sparsity in (0.0, 0.5)
        for seed, value in enumerate(values[model])
    ]
    text = text_of(results)
    assert "no difference to another model holds" in text
    assert "| **" not in text
    assert "no larger than one standard deviation over seeds at S = 0 and 0.5" in text
    assert "At no single sparsity does a lead over all other models hold." in text


def test_lower_ranks_lead() -> None:
    ranks = {"mca": 9.0, "eao": 2.0}
    results = [
        result(model, metrics={"rank/median_mean": ranks[model]}) for model in ("mca", "eao")
    ]
    assert "Best mean: EAO at S = 0 (2.000)" in text_of(results)


def test_one_seed_of_one_model_at_one_sparsity() -> None:
    text = text_of(sweep((0,), sparsities=(0.4,), models=("mca",)))
    assert "There is one model only" in text and "Each condition has 1 seed." in text
    assert "±" not in text.split("### digits")[1].split("## Figures")[0]


def test_metrics_that_are_nan_are_dashes() -> None:
    nan = {"probe/auprc": math.nan, "rank/median_mean": math.nan}
    results = [
        result("mca", metrics=nan),
        result("mca", 0.2, metrics=nan),
        result("eao", metrics=nan | {"rank/median_mean": 3.0}),
        failed("eao", 0.2, 0, "lost"),
    ]
    text = text_of(results)
    assert "| median rank (lower is better) | MCA | - | - | - |" in text
    assert "|  | EAO | 3.000 | - | - |" in text


def test_every_cell_failed() -> None:
    text = text_of([failed("mca", 0.2, 0, "no memory"), failed("eao", 0.2, 0, "none")])
    assert "No cell finished, so there is nothing to compare." in text
    assert "2 of 2 cells" in text


def test_two_data_sets_of_different_tasks() -> None:
    other = sweep(sparsities=(0.0, 0.4), dataset="speech", task="regression")
    text = text_of([*sweep(sparsities=(0.0, 0.4)), *other])
    assert "**speech, probe Pearson r (higher is better).**" in text
    assert "**digits, probe average precision (higher is better).**" in text
    assert "**speech, probe average precision" not in text


def test_one_sparsity_has_its_differences_too() -> None:
    text = text_of(sweep(range(4), sparsities=(0.0,)))
    assert "| MCA - Zorro |" in text and "mean over S |" not in text
    assert "(mean at S = 0, " in text and "mean over sparsities" not in text.partition("## ")[0]


def test_a_model_without_a_whole_curve_is_said() -> None:
    whole = sweep(range(3), sparsities=(0.0, 0.4), models=("mca", "zorro"))
    part = sweep(range(3), sparsities=(0.0,), models=("eao",))
    text = text_of([*whole, *part, failed("eao", 0.4, 0, "no memory")])
    assert "Left out: EAO, which has no seed with a finished cell at every sparsity." in text


def test_what_tests_over_samples_say_stands_beside_those_over_seeds() -> None:
    results = sweep(range(4), sparsities=(0.0, 0.4))
    record = record_of(
        results, name="x", command="c", settings={}, environment={}, samples=kept(results),
    )  # fmt: skip
    text = report_text(weigh(record), [])
    assert "| 95 % over seeds | p (Holm) | 95 % bootstrap | p (Holm) |" in text
    rows = [line for line in text.splitlines() if "| MCA - Zorro |" in line]
    assert len(rows) == 2 and all(line.count(" to ") == 2 for line in rows)
