"""What the page opens with: what the sweep is, and which model wins where."""

from __future__ import annotations

from collections.abc import Iterator

from raymm.report.evidence import Evidence
from raymm.report.grids import seeds_of
from raymm.report.headline import best_means, verdicts
from raymm.report.names import model_label
from raymm.report.page.markup import Markup, element, paragraph
from raymm.sweep.prices import SECONDS_AN_HOUR


def opening(evidence: Evidence) -> Iterator[Markup]:
    """Title, what was trained, and the headline."""
    record = evidence.record
    yield element("h1", record.name)
    yield element("ul", [element("li", chip) for chip in chips(evidence)], class_="chips")
    sentences, details = verdicts(evidence), [paragraph(text) for text in best_means(record.cells)]
    if sentences:
        yield element("div", [paragraph(sentence) for sentence in sentences], class_="lead")
        summary = element("summary", "Best means at each sparsity")
        yield element("details", [summary, *details])
    else:
        yield from details
    if notes := [paragraph(note) for note in evidence.notes]:
        yield element("div", [element("strong", "To be known"), *notes], class_="note")


def chips(evidence: Evidence) -> Iterator[Markup]:
    """What the sweep is, in a few words each."""
    record = evidence.record
    cells, finished = record.cells, record.finished
    lost = len(cells) - len(finished)
    said = (
        f"{len(finished):,} of {len(cells):,} cells finished" if lost else f"{len(cells):,} cells"
    )
    yield _chip("", said)
    yield _chip("data", ", ".join(evidence.datasets))
    yield _chip("models", ", ".join(map(model_label, evidence.models)))
    sparsities = sorted(cells["sparsity"].unique())
    ends = f"{sparsities[0]:g} to {sparsities[-1]:g}" if len(sparsities) > 1 else ""
    yield _chip("sparsity", f"{len(sparsities)} levels, {ends}" if ends else f"{sparsities[0]:g}")
    fewest, most = seeds_of(cells)
    yield _chip("seeds", f"{fewest} to {most}" if fewest < most else f"{most}")
    if "time/train_s" in finished and finished["time/train_s"].notna().any():
        hours = float(finished["time/train_s"].sum()) / SECONDS_AN_HOUR
        yield _chip("training time", f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min")


def _chip(name: str, value: str) -> Markup:
    return Markup(f"{element('span', name)} {element('b', value)}" if name else element("b", value))
