"""The page says what the numbers allow, and fetches nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from raymm.report.evidence import Evidence, weigh
from raymm.report.names import number
from raymm.report.page.markup import EMPTY
from raymm.report.page.page import page_text
from raymm.report.record import record_of
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, kept, result, sweep

VOID = EMPTY | {"meta", "link"}


class Reader(HTMLParser):
    """Checks that elements close in order; gathers ids, and text by the element it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.bold: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "b" in self.open and "td" in self.open:
            self.bold.append(data)


def evidence(
    results: Sequence[CellResult], samples: bool = False, cross: pd.DataFrame | None = None
) -> Evidence:
    record = record_of(
        results,
        name="grid <1>",
        command="python sweeps/sparsity_grid.py",
        settings={"model": {"width": 32}},
        environment={"torch": "2.13.0"},
        samples=kept(results) if samples else None,
        fingerprints={"digits": "0123abcd"},
        cross=cross,
    )
    return weigh(record)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and len(reader.ids) == len(set(reader.ids))
    return reader


def crossed(results: Sequence[CellResult]) -> pd.DataFrame:
    rows = [
        (
            "digits",
            r.cell.model.name,
            r.cell.data.sparsity,
            r.cell.train.seed,
            0,
            0,
            r.key,
            test,
            0.9,
        )
        for r in results
        for test in (0.0, 0.4)
    ]
    columns = ["dataset", "model", "sparsity", "seed", "mask_seed", "split_seed", "cell_key",
               "test_sparsity", "probe/auprc"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def test_every_section_is_there_and_the_page_is_whole() -> None:
    results = sweep(range(3), sparsities=(0.0, 0.4))
    reader = read(page_text(evidence(results, samples=True, cross=crossed(results))))
    sections = {"figures", "results", "differences", "losses", "cross", "combinations", "maps",
                "cost", "failed", "cells", "making"}  # fmt: skip
    assert sections <= set(reader.ids)


def test_nothing_is_fetched_from_anywhere() -> None:
    page = page_text(evidence(sweep(range(3)), samples=True))
    addresses = re.findall(r"""(?:src|href|action)=["']([^"']*)|url\(([^)]*)\)|@import""", page)
    assert {one or other for one, other in addresses} <= {
        each
        for each in (one or other for one, other in addresses)
        if each.startswith(("#", "data:"))
    }
    assert "http:" not in page and "https:" not in page


def test_the_same_evidence_makes_the_same_page() -> None:
    results = sweep(range(3), sparsities=(0.0, 0.4))
    assert page_text(evidence(results, samples=True)) == page_text(evidence(results, samples=True))


def test_what_people_wrote_is_not_run() -> None:
    results = [*sweep((0,)), failed("mca", 0.9, 0, "<script>alert(1)</script> & more")]
    page = page_text(evidence(results))
    assert (
        "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    )
    assert "<title>grid &lt;1&gt;</title>" in page


def pair(gap: float, spread: float, seeds: int) -> list[CellResult]:
    """Two models whose paired difference is `gap`, give or take `spread`."""
    noise = [spread * math.sin(3 * seed) for seed in range(seeds)]
    return [
        result(model, sparsity, seed, metrics={"probe/auprc": 0.5 + ahead * (gap + noise[seed])})
        for model, ahead in (("mca", 1), ("eao", 0))
        for sparsity in (0.0, 0.4)
        for seed in range(seeds)
    ]


def test_the_best_is_bold_only_where_the_difference_holds() -> None:
    clear, unclear = (evidence(pair(0.3, spread, 5)) for spread in (0.01, 1.0))
    gap = 0.3 + 0.01 * sum(math.sin(3 * seed) for seed in range(5)) / 5
    best = number(0.5 + gap)
    bold = read(page_text(clear)).bold
    assert bold.count(best) == 3  # at each sparsity and over all, and nothing else of the table
    assert not [text for text in bold if text == "0.500"]
    page = page_text(unclear)
    assert read(page).bold == [] and 'class="best"' in page
    assert f"MCA is ahead of EAO by {number(gap)}" in page_text(clear)
    assert "no difference to another model holds" in page


def test_with_two_seeds_no_test_is_printed() -> None:
    page = page_text(evidence(pair(0.3, 0.01, 2), samples=True))
    assert "no test is possible" in page and "p (Holm)" not in page
    assert not [text for text in read(page).bold if text.startswith("0.")]


def test_a_difference_that_other_samples_would_undo_is_not_bold() -> None:
    """All seeds agree on thirty samples, which differ among themselves by far more."""
    generator, results, samples = np.random.default_rng(0), [], {}
    for model in ("mca", "eao"):
        of_sample = generator.normal(size=30)
        for seed in range(5):
            loss = of_sample + 1e-4 * generator.normal(size=30)
            metrics = {"probe/loss": float(loss.mean())}
            results.append(result(model, 0.0, seed, metrics=metrics))  # type: ignore[arg-type]
            frame = pd.DataFrame({"id": [f"s{n}" for n in range(30)], "probe/loss": loss})
            frame.attrs = {"modalities": [], "task": "classification", "classes": ["a", "b"]}
            samples[results[-1].key] = frame
    record = record_of(results, name="x", command="", settings={}, environment={}, samples=samples)
    found = weigh(record)
    (row,) = found.verdicts.pairs("digits", "probe/loss", 0.0)
    assert row["p_holm"] < 1e-4 and row["resampled"]["p_holm"] > 0.05
    assert not found.verdicts.holds(row)


def test_numbers_that_are_none_are_said_and_left_out() -> None:
    strange = [
        result("mca", 0.0, 0, metrics={"probe/auprc": math.inf}),
        result("mca", 0.0, 1, metrics={"probe/auprc": 0.5}),
        result("eao", 0.0, 0, metrics={"probe/auprc": "n/a"}),  # type: ignore[dict-item]
    ]
    page = page_text(evidence(strange))
    read(page)
    assert "2 value(s) of probe/auprc are no finite numbers" in page and "inf" in page
    assert "0.500" in page


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_odd_sweeps_have_a_page(task: str) -> None:
    nothing = [failed("mca", 0.0, 0, "no memory")]
    assert "No cell finished" in page_text(evidence(nothing))
    read(page_text(evidence(sweep((0,), sparsities=(0.3,), models=("mca",), task=task))))
    read(page_text(evidence([result()])))


def test_thousands_of_cells_stay_below_five_megabytes() -> None:
    results = sweep(range(100), models=("mca", "zorro", "eao", "cbmf"))
    assert len(results) == 2000
    record = record_of(results, name="big", command="c", settings={}, environment={})
    assert len(page_text(weigh(record)).encode()) < 5e6
