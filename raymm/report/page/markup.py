"""HTML and SVG elements as text, escaped where they are made."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence


class Markup(str):
    """Text that is markup already and is put in as it is."""

    __slots__ = ()


Content = str | Iterable[str] | None
EMPTY = {"br", "circle", "input", "line", "path", "polygon", "rect"}


def element(name: str, content: Content = None, /, **attributes: object) -> Markup:
    """`<name attributes>content</name>`; what is not `Markup` is escaped.

    An underscore in an attribute's name becomes a dash, one at the end is dropped (`class_`). None
    and False leave an attribute out, True gives its name alone.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if content is None and name in EMPTY:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{joined(content)}</{name}>")


def joined(content: Content) -> Markup:
    """One text of several, escaped where it is no markup."""
    if content is None:
        return Markup("")
    parts = [content] if isinstance(content, str) else content
    return Markup("".join(p if isinstance(p, Markup) else html.escape(p) for p in parts))


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0, **attributes: object
) -> Markup:
    """A table that scrolls by itself where it is too wide.

    Args:
        header: column titles.
        rows: cells, `Markup` or plain.
        numbers: how many columns at the end hold numbers, set flush right.
    """
    first = len(header) - numbers
    head = element(
        "tr",
        [
            element("th", text, scope="col", class_="n" if place >= first else None)
            for place, text in enumerate(header)
        ],
    )
    body = [
        element(
            "tr",
            [
                element("td", text, class_="n" if place >= first else None)
                for place, text in enumerate(row)
            ],
        )
        for row in rows
    ]
    whole = element("table", [element("thead", head), element("tbody", body)], **attributes)
    return element("div", whole, class_="scroll")


def section(anchor: str, title: str, content: Iterable[str]) -> Markup:
    """A section of the page, with an address of its own."""
    return element("section", [element("h2", title), *content], id=anchor)


def paragraph(markdown: str) -> Markup:
    """A paragraph of text with **strong** and `code` in it."""
    text = html.escape(markdown, quote=False)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return element("p", Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", text)))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
