"""Whose embeddings nearly coincide is said, with the numbers, and of nobody else."""

from __future__ import annotations

import math

import pytest
import torch

from raymm.config import ModelName
from raymm.metrics.geometry import uniformity
from raymm.report.collapse import NEARLY_ONE_POINT, collapsed
from raymm.report.evidence import weigh
from raymm.report.markdown import report_text
from raymm.report.page.page import page_text
from raymm.report.record import record_of
from raymm.report.tables import cells_frame
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, result, sweep


def of(model: ModelName, fusion: float, unimodal: float, **place: float) -> CellResult:
    metrics = {"uniformity/fusion": fusion, "uniformity/unimodal_mean": unimodal}
    return result(model, place.get("sparsity", 0.0), int(place.get("seed", 0)), metrics=metrics)


def test_a_model_whose_embeddings_coincide_is_named_with_its_numbers() -> None:
    cells = [of("eao", -2.254, -1.674), of("cbmf", -0.358, -0.115), failed("mca", 0.0, 0, "lost")]
    (note,) = collapsed(cells_frame(cells))
    assert note.startswith("Embeddings of CBMF on digits nearly coincide at S = 0 ")
    assert "(-0.358 fusion, -0.115 unimodal)" in note
    assert note.endswith("try --cbmf-targets hard.")


def test_means_over_seeds_decide_and_each_sparsity_is_named() -> None:
    cells = [of("zorro", -0.3, -0.5, sparsity=s, seed=n) for s in (0.2, 0.6) for n in (0, 1)]
    cells += [of("zorro", fusion, -0.5, seed=n) for n, fusion in enumerate((-0.4, -0.8))]
    (note,) = collapsed(cells_frame(cells))
    assert "S = 0.2 (-0.300 fusion, -0.500 unimodal) and S = 0.6" in note and "S = 0 " not in note
    assert "cbmf" not in note  # that remedy is of CBMF alone


def test_holes_that_tell_samples_apart_do_not_hide_it() -> None:
    """A mean of clusters far apart spreads by what is present, however tight the clusters are."""
    assert len(list(collapsed(cells_frame([of("cbmf", -0.65, -0.08)])))) == 1


def test_nothing_is_said_of_models_that_spread_or_have_no_such_metric() -> None:
    assert not list(collapsed(cells_frame(sweep())))
    none = [result("mca", metrics={"probe/auprc": 0.9}), of("eao", math.nan, math.nan)]
    assert not list(collapsed(cells_frame(none)))
    assert not list(collapsed(cells_frame([failed("cbmf", 0.0, 0, "lost")])))


@pytest.mark.parametrize(
    ("metric", "square"), [("uniformity/fusion", 1 / 4), ("uniformity/unimodal_mean", 1 / 8)]
)
def test_the_thresholds_are_the_distances_that_are_told(metric: str, square: float) -> None:
    """Rows sqrt(1 - b) e_0 + sqrt(b) e_i are at squared distances of 2 b."""
    points = (square / 2) ** 0.5 * torch.eye(9, dtype=torch.float64)[1:]
    points[:, 0] = (1 - square / 2) ** 0.5
    assert uniformity(points) == pytest.approx(NEARLY_ONE_POINT[metric])


def test_the_report_and_the_page_say_it() -> None:
    record = record_of(
        [of("cbmf", -0.358, -0.115)], name="x", command="c", settings={}, environment={}
    )
    evidence = weigh(record)
    (note,) = evidence.notes
    assert f"## To be known\n\n- {note}" in report_text(evidence, [])
    assert "To be known" in page_text(evidence) and "nearly coincide" in page_text(evidence)
