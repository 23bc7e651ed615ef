"""How far two numbers are apart, of which either may be infinite or no number."""

from __future__ import annotations

import math


def apart(one: float, two: float) -> float:
    """Absolute difference: 0 for the same infinity or twice nan, infinite if only one is a number."""
    if one == two or (math.isnan(one) and math.isnan(two)):
        return 0.0
    gap = abs(one - two)
    return math.inf if math.isnan(gap) else gap
