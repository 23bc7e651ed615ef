from __future__ import annotations

import math
import re

from raymm.report.evidence import weigh
from raymm.report.latex import escaped, tables_text
from raymm.report.record import record_of
from raymm.sweep.cells import CellResult
from tests.report.synthetic import result


def results(spread: float) -> list[CellResult]:
    return [
        result(model, sparsity, seed, dataset="my_data",
               metrics={"probe/auprc": 0.5 + ahead * (0.3 + spread * math.sin(3 * seed))})
        for model, ahead in (("mca", 1), ("eao", 0))
        for sparsity in (0.0, 0.4)
        for seed in range(5)
    ]  # fmt: skip


def text(spread: float) -> str:
    record = record_of(results(spread), name="x", command="", settings={}, environment={})
    return tables_text(weigh(record))


def test_a_table_is_whole_and_bold_where_the_lead_holds() -> None:
    made = text(0.01)
    assert made.count(r"\begin{table}") == made.count(r"\end{table}") == 1
    assert r"\caption{Probe average precision (higher is better), my\_data.}" in made
    rows = [line for line in made.splitlines() if line.strip().startswith(("MCA", "EAO"))]
    assert [row.count("&") for row in rows] == [3, 3]
    assert rows[0].count(r"\mathbf") == 3 and r"\mathbf" not in rows[1]
    assert re.search(r"\$0\.500 \\pm 0\.000\$", rows[1])
    assert r"\mathbf" not in text(2.0)


def test_what_latex_would_stumble_over() -> None:
    assert escaped("a_b & 5 % {x}") == r"a\_b \& 5 \% \{x\}"
