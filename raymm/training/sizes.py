"""Sizes of a training that its estimate has to know as well. Imports no torch."""

from __future__ import annotations

GIB = 2.0**30
EVALUATION_BATCH = 256
"""Samples embedded at a time after training; no gradient is kept, so more fit than in a step."""
WEIGHT_BYTES = 2
"""Of a parameter of a finished cell: in half the space."""
CHECKPOINT_BYTES = 16
"""Of a parameter in a checkpoint: weights, the best ones, and two moments, four bytes each."""
KEPT = 2
"""Checkpoints that are kept: the newest, and the one to fall back to."""
OF_THE_MACHINE = ("time/", "throughput/", "memory/", "system/")
"""Metrics that say how fast and large it was, not what came out."""
