"""The page as a person's browser has it. Skipped where no Chromium is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.report.evidence import weigh
from raymm.report.page.page import page_text
from raymm.report.record import record_of
from tests.report.page.browser import CHROMIUM, seconds_to_draw, visit
from tests.report.page.test_page import crossed, evidence
from tests.report.synthetic import failed, kept, sweep

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian's package)")

OPEN_S = 3.0
LOOK = """
const tip = document.getElementById("tip");
const mark = document.querySelector(".mark[data-tip]");
const box = mark.getBoundingClientRect();
mark.dispatchEvent(new PointerEvent("pointermove",
  {bubbles: true, clientX: box.x, clientY: box.y}));
found.tip = tip.hidden ? "" : tip.textContent;
const lines = () => [...document.querySelectorAll('[data-model="mca"]')]
  .map((line) => getComputedStyle(line).display);
found.before = lines();
document.querySelector('button[data-toggle="mca"]').click();
found.after = lines();
document.querySelector('button[data-toggle="mca"]').click();
found.again = lines();
const views = [...document.querySelectorAll('button[data-view^="map0|"]')];
views[1].click();
found.shown = [...document.querySelectorAll('[data-of="map0"]')]
  .filter((view) => !view.hidden).map((view) => view.dataset.is);
found.wanted = views[1].dataset.view.split("|")[1];
const input = document.querySelector("input[data-filter]");
input.value = "eao 0.4";
input.dispatchEvent(new Event("input"));
found.count = input.parentElement.querySelector("output").textContent;
const text = document.querySelector(".plot .y");
found.smallest = text.getBoundingClientRect().height;
found.background = getComputedStyle(document.body).backgroundColor;
found.ink = getComputedStyle(document.body).color;
found.line = getComputedStyle(document.querySelector(".c0 .line")).stroke;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = [*sweep(range(3), sparsities=(0.0, 0.4)), failed("mca", 0.9, 0, "no memory")]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page_text(evidence(results, samples=True, cross=crossed(results))))
    return file


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)])
def test_it_works_without_a_word_on_the_console(page: Path, width: int, dark: bool) -> None:
    seen = visit(page, width=width, dark=dark, script=LOOK)
    found = seen.found
    assert seen.console == [] and "error" not in found
    assert found["width"] == width and found["overflow"] <= 0
    assert found["tip"].startswith("MCA, S = 0: ")
    assert set(found["before"]) == set(found["again"]) == {"inline"}
    assert set(found["after"]) == {"none"}
    assert found["shown"] == [found["wanted"]]
    assert found["count"] == "3 of 19 cells"
    assert found["smallest"] >= 11  # pixels that the labels of an axis are high
    light = ("rgb(255, 255, 255)", "rgb(0, 114, 178)")
    assert ((found["background"], found["line"]) == light) is not dark


def test_two_thousand_cells_open_in_three_seconds(tmp_path: Path) -> None:
    results = sweep(range(100), models=("mca", "zorro", "eao", "cbmf"))
    some = kept(results[::50], count=200)
    record = record_of(results, name="big", command="c", settings={}, environment={}, samples=some)
    file = tmp_path / "report.html"
    file.write_text(page_text(weigh(record)))
    assert file.stat().st_size < 5e6
    assert visit(file, width=1280).console == []
    assert seconds_to_draw(file) < OPEN_S


def test_an_error_of_the_page_would_be_seen(page: Path) -> None:
    seen = visit(page, width=390, script="setTimeout(() => nothingOfThatName(), 0);")
    assert any("nothingOfThatName" in line for line in seen.console)


def test_a_slow_page_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "slow.html"
    busy = "let x = 0; for (let i = 0; i < 2e9; i++) x = (x + i) | 0; document.title = x;"
    file.write_text(f"<!DOCTYPE html><title>slow</title><script>{busy}</script>")
    assert seconds_to_draw(file) > 0.3
