"""Where data sets come from: built-in, folders of your own tables, packed folders, `datasets`'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raymm.data.dataset import Dataset
from raymm.data.packed import is_packed, open_packed
from raymm.data.sources import digits
from raymm.data.sources.folder import load_folder
from raymm.data.sources.huggingface.files import is_huggingface
from raymm.data.sources.huggingface.prepare import load_huggingface
from raymm.errors import DataError, nearest
from raymm.storage.address import is_remote

BUILT_IN = {"digits": digits.verified_folder}
BUILT_IN_PAIRS = ("emoji",)
"""Built-in sets that `raymm embed` turns into data sets."""


def resolve(dataset: str) -> str:
    """The folder or address of a data set: of a built-in name, or the one given.

    Raises:
        DataError: there is neither a built-in data set nor a folder of that name.
    """
    if dataset in BUILT_IN:
        return str(BUILT_IN[dataset]())
    if is_remote(dataset) or Path(dataset).exists():
        return dataset
    if dataset in BUILT_IN_PAIRS:
        raise DataError(
            f"'{dataset}' are images and texts, which an encoder turns into vectors first: `raymm "
            f"embed --dataset {dataset} --encoder efficientnet-lite0 minilm --out {dataset}.vectors`,"
            f" then `--dataset {dataset}.vectors`."
        )
    raise DataError(
        f"There is neither a built-in data set nor a folder '{dataset}': "
        + nearest(dataset, BUILT_IN)
    )


def load_dataset(dataset: str, modalities: Sequence[str] = (), label: str | None = None) -> Dataset:
    """Load a data set.

    Args:
        dataset: built-in name, a folder / s3:// address of tables, a packed folder, or one
            that Hugging Face `datasets` wrote.
        modalities: modalities used, in this order; empty means the data set's default.
        label: label column; None means the data set's default.

    Raises:
        DataError: it is not there or cannot be used; the message names the place and the remedy.
    """
    address = resolve(dataset)
    if is_packed(address):
        return open_packed(address, modalities, label)
    if is_huggingface(address):
        return load_huggingface(address, modalities, label)
    return load_folder(address, modalities, label)
