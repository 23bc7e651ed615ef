"""The one official layout that is pickled, read without running anything that a pickle may name.

CIFAR's python batches are pickles. This unpickler admits numpy arrays, bytes, texts, numbers, lists
and dicts, which is all they hold; whatever else a file names is refused before it is looked up.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from raymm.errors import DataError


def _encoded(text: str, encoding: str = "utf-8") -> bytes:
    """How Python 3 writes bytes into an old pickle; only this encoding occurs."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text is encoded as {encoding}")
    return text.encode("latin1")


def _admitted() -> dict[tuple[str, str], Any]:
    """What a batch may name: the parts of an array, under the names of old and new numpy."""
    # numpy pickles an array as a call of this function, which makes an empty one.
    empty_array = np.zeros(0).__reduce__()[0]
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encoded,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"] = empty_array
    return names


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        admitted = _admitted()
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch of images does")
        return admitted[module, name]


def unpickle(path: Path) -> dict[bytes, Any]:
    """Read a pickled dict of arrays, texts and numbers; keys are bytes, as Python 2 wrote them.

    Raises:
        DataError: the file is missing or damaged, or holds anything else.
    """
    try:
        content = _Restricted(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(
            f"{path} cannot be read: {type(error).__name__}: {error}. Nothing in it was run. Download "
            "it again from its official source."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a dict. Download it again.")
    return {key.encode() if isinstance(key, str) else key: each for key, each in content.items()}
