from __future__ import annotations

from raymm.report.page.markup import Markup, element, joined, paragraph, table


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("td", "a < b & 'c'") == "<td>a &lt; b &amp; &#x27;c&#x27;</td>"
    assert element("td", [element("b", "x"), "<y>"]) == "<td><b>x</b>&lt;y&gt;</td>"
    assert joined(Markup("<i>")) == "<i>"


def test_attributes() -> None:
    made = element("button", "x", class_="a", aria_pressed="true", hidden=True, data_tip='"<')
    assert made == '<button class="a" aria-pressed="true" hidden data-tip="&quot;&lt;">x</button>'
    assert element("button", "x", class_=None, hidden=False) == "<button>x</button>"
    assert element("path", d="M0 0") == '<path d="M0 0"/>'


def test_a_paragraph_knows_strong_and_code_and_nothing_else() -> None:
    made = paragraph("**bold** and `code` and <script>")
    assert made == "<p><strong>bold</strong> and <code>code</code> and &lt;script&gt;</p>"


def test_a_table_marks_its_numbers() -> None:
    made = table(["a", "b"], [["x", "1"]], numbers=1, id="t")
    assert '<table id="t">' in made and '<td class="n">1</td>' in made
    assert '<th scope="col">a</th><th scope="col" class="n">b</th>' in made
