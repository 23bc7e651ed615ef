"""What a modality may be called: names of metrics and of files are built from it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from raymm.data.problems import Problems, some
from raymm.data.sources.place import Place

RESERVED = frozenset({"mean", "fusion", "unimodal_mean"})
RESERVED_START = "mean_"
PLAIN = re.compile(r"[\w. -]")
"""What MLflow takes in a metric's name and every file system in a file's."""


def note_names(place: Place, files: Mapping[str, str], problems: Problems) -> None:
    """Note names that metrics over all modalities have, and those no metric can have.

    Args:
        files: modality -> file name.
    """
    for name, file in files.items():
        where = f"{place.address}/{file}"
        if name in RESERVED or name.startswith(RESERVED_START):
            problems.error(
                f"{where}: a modality cannot be called '{name}', metrics over all modalities, such "
                "as 'uniformity/fusion' and 'alignment/mean', have such names. Rename the file."
            )
        elif odd := sorted(set(PLAIN.sub("", name))):
            problems.error(
                f"{where}: the modality's name holds {some(odd)}, but metrics are named by it. "
                "Rename the file: letters, digits, spaces and _ - . can be used."
            )
