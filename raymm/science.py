"""What a cell's numbers mean: raised by hand whenever a change of the code changes that."""

from __future__ import annotations

from typing import Final

SCIENCE_VERSION: Final = 1
"""Part of every cell key, and of every saved model: other versions are not mixed with this one."""
