"""Tables in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from raymm.config import flat


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def settings_rows(settings: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Nested settings as ("group.name", value as JSON has it), rows for a table."""
    for name, value in flat(settings):
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _escaped(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
