"""A headless Chromium that opens a page from disk and says what it found."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REPORT = """<script>
addEventListener("load", () => setTimeout(() => {
  const found = {};
  try { (() => { %s })(); } catch (error) { found.error = String(error); }
  found.width = innerWidth;
  found.overflow = document.documentElement.scrollWidth - innerWidth;
  parent.postMessage(encodeURIComponent(JSON.stringify(found)), "*");
}, 50));
</script>"""
FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark">
<iframe src="%s" width="%d" height="900" style="border:0"></iframe>
<script>addEventListener("message", (event) => {
  const place = document.createElement("template");
  place.id = "found";
  place.setAttribute("data-json", event.data);
  document.body.append(place);
});</script>"""
"""A window of Chromium is 500 pixels wide at least; a frame in it may be narrower."""


@dataclass(frozen=True)
class Visit:
    """What a page turned out to be.

    Attributes:
        found: what the script has put into `found`, with "width" and "overflow".
        console: what the page wrote to the console, errors among it.
    """

    found: dict[str, Any]
    console: list[str]


def visit(page: Path, *, width: int, dark: bool = False, script: str = "") -> Visit:
    """Open a copy of a page and run a script in it once it is loaded.

    Args:
        width: of the window in pixels.
        script: JavaScript that may put something into `found`.
    """
    assert CHROMIUM is not None
    copy = page.with_name(f"visited-{page.name}")
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("</body>", REPORT % script + "</body>"), encoding="utf-8")
    frame = page.with_name(f"frame-{page.name}")
    frame.write_text(FRAME % (copy.name, width), encoding="utf-8")
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-extensions", f"--user-data-dir={page.parent / 'profile'}",
        f"--window-size={max(width, 500) + 40},1000", "--enable-logging=stderr",
        "--virtual-time-budget=8000",
        *scheme, "--dump-dom", frame.resolve().as_uri(),
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'id="found" data-json="([^"]*)"', said.stdout)
    assert found is not None, said.stderr[-2000:]
    console = [line for line in said.stderr.splitlines() if ":CONSOLE" in line]
    return Visit(json.loads(unquote(found[1])), console)


def seconds_to_draw(page: Path, *, width: int = 1280) -> float:
    """CPU seconds that Chromium takes to read, lay out and paint a page, beyond an empty one.

    On an idle machine no less than what a person waits. Time within the page will not do: with a
    budget of virtual time it stands still while there is work.
    """
    empty = page.with_name("empty.html")
    empty.write_text("<!DOCTYPE html><title>empty</title>", encoding="utf-8")
    _screenshot(empty, width)  # the profile is made once
    without = _screenshot(empty, width)
    return _screenshot(page, width) - without


def _screenshot(page: Path, width: int) -> float:
    assert CHROMIUM is not None
    picture = page.with_suffix(".png")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-extensions", f"--user-data-dir={page.parent / 'profile'}",
        f"--window-size={width},1000", f"--screenshot={picture}", page.resolve().as_uri(),
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert picture.exists()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
