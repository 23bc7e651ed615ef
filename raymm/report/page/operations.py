"""`report.html` of a sweep over fusion operations: its tables, then what any sweep's page has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from raymm.report.evidence import Evidence, weigh
from raymm.report.files import write_whole
from raymm.report.page.ending import all_cells, cost, making, unfinished
from raymm.report.page.figures import losses
from raymm.report.page.markup import Markup, element, paragraph, section, table
from raymm.report.page.opening import chips
from raymm.report.page.page import whole_page
from raymm.report.record import record_of
from raymm.sweep.cells import CellResult

Cells = Mapping[str, Mapping[str, str]]
"""Model -> heading -> text; a text in ** is bold."""


def operations_page(
    evidence: Evidence, lines: Sequence[str], tables: Sequence[tuple[str, Cells]]
) -> str:
    """The whole page: nothing in it is fetched from anywhere.

    Args:
        evidence: of the sweep's cells.
        lines: what the tables show, in words.
        tables: titles and cells.
    """
    content = [
        element("h1", evidence.record.name),
        element("ul", [element("li", chip) for chip in chips(evidence)], class_="chips"),
        element("div", [paragraph(line) for line in lines], class_="lead"),
        *_tables(tables),
        *losses(evidence),
        *cost(evidence),
        *unfinished(evidence),
        *all_cells(evidence),
        *making(evidence),
    ]
    return whole_page(evidence.record.name, content)


def _tables(tables: Sequence[tuple[str, Cells]]) -> Iterator[Markup]:
    content: list[Markup] = []
    for title, cells in tables:
        headings = list(next(iter(cells.values()), {}))
        rows = [
            [model, *(_shown(row.get(heading, "")) for heading in headings)]
            for model, row in cells.items()
        ]
        content.append(element("h3", title))
        content.append(table(["", *headings], rows, numbers=len(headings)))
    if content:
        read = "Recalls in per cent, on pairs that no model has seen. **Bold**: the highest of a column."
        yield section("results", "Retrieval", [paragraph(read), *content])


def _shown(text: str) -> str:
    bold = text.startswith("**") and text.endswith("**") and len(text) > 4
    return element("b", text.strip("*")) if bold else text


def write_operations_page(
    results: Sequence[CellResult],
    lines: Sequence[str],
    tables: Sequence[tuple[str, Cells]],
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
    fingerprints: Mapping[str, str],
) -> None:
    """Write `report.html` of a sweep into its folder; arguments as of `operations_page` and
    `raymm.report.record.record_of`.

    Raises:
        OSError: the folder cannot be written.
    """
    record = record_of(
        results, name=name, command=command, settings=settings, environment=environment,
        fingerprints=fingerprints,
    )  # fmt: skip
    page = operations_page(weigh(record), lines, tables)
    write_whole(folder / "report.html", page.encode())
