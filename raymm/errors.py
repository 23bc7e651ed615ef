"""Every error raymm raises on purpose. Each message says what, where, and what to do.

RaymmError
├── ConfigError     a setting is unknown, out of range, or contradicts another
├── DataError       a data set cannot be read, or is not what it claims to be
├── TrainingError   a training cannot go on (loss is not finite, nothing to train on)
│   └── StorageError  a path or an address cannot be read or written (an OSError, too); the same
│                     training could go on with another, or when the storage is back
├── TrackingError   the tracking server or its store cannot be used
└── SweepError      a sweep cannot start or cannot go on (folder taken, nothing can be placed)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RaymmError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without traceback."""


class ConfigError(RaymmError):
    """A setting is unknown, out of range, or contradicts another."""


class DataError(RaymmError):
    """A data set cannot be read, or is not what it claims to be."""


class TrainingError(RaymmError):
    """A training cannot go on."""


class StorageError(TrainingError, OSError):
    """What lies at a path or an address cannot be read or written; no other setting is at fault."""


class TrackingError(RaymmError):
    """The tracking server or its store cannot be used."""


class SweepError(RaymmError):
    """A sweep cannot start or cannot go on."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known words there are, the nearest first: the tail of a message about an unknown one."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(words) or '(none)'}."
