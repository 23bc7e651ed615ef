"""A set of pairs by name or folder, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from raymm.data.sources.pairs.cifar import is_cifar, read_cifar
from raymm.data.sources.pairs.coco import is_coco, read_coco
from raymm.data.sources.pairs.emoji_set import read_emoji
from raymm.data.sources.pairs.flickr8k import is_flickr8k, read_flickr8k
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.sentences import is_sentences, read_sentences
from raymm.data.sources.pairs.table import Columns, is_table, read_table
from raymm.data.sources.pairs.tiny_imagenet import is_tiny_imagenet, read_tiny_imagenet
from raymm.errors import ConfigError, DataError, nearest
from raymm.storage.address import is_remote
from raymm.storage.folders import fetched

BUILT_IN: dict[str, Callable[[], Pairs]] = {"emoji": read_emoji}
LayoutName = Literal["auto", "coco", "flickr8k", "cifar", "tiny-imagenet", "sentences", "table"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)


@dataclass(frozen=True)
class _Layout:
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Columns | None, bool], Pairs]


_KNOWN: dict[str, _Layout] = {
    "coco": _Layout(is_coco, lambda path, _, first: read_coco(path, first_only=first)),
    "flickr8k": _Layout(is_flickr8k, lambda path, _, first: read_flickr8k(path, first_only=first)),
    "cifar": _Layout(is_cifar, lambda path, _, __: read_cifar(path)),
    "tiny-imagenet": _Layout(is_tiny_imagenet, lambda path, _, __: read_tiny_imagenet(path)),
    "sentences": _Layout(is_sentences, lambda path, _, __: read_sentences(path)),
    "table": _Layout(is_table, lambda path, columns, first: read_table(path, columns, first_only=first)),
}  # fmt: skip


def load_pairs(
    dataset: str,
    *,
    layout: str = "auto",
    columns: Columns | None = None,
    first_only: bool = False,
) -> Pairs:
    """Read a set of pairs.

    Args:
        dataset: "emoji", or a folder (or Parquet file); one at an address such as s3:// is copied to
            this machine first.
        layout: how the folder is laid out: COCO Captions, Flickr8k, CIFAR-10 / -100, Tiny ImageNet,
            sentence pairs (QQP, MRPC, STS-B), a Parquet table; "auto" looks at its files.
        columns: of a Parquet table.
        first_only: only the first of an image's captions.

    Raises:
        DataError: there is no such set, its layout is not known, or it cannot be read.
        StorageError: the address cannot be used.
        ConfigError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout = '{layout}': {nearest(layout, LAYOUTS)}")
    if is_remote(dataset):
        copy = fetched(dataset)
        return replace(_read(copy.path, layout, columns, first_only), copy=copy)
    path = Path(dataset)
    if dataset in BUILT_IN and not path.exists():
        return BUILT_IN[dataset]()
    if not path.exists():
        raise DataError(
            f"There are neither built-in pairs nor a folder '{dataset}': {nearest(dataset, BUILT_IN)}"
        )
    return _read(path, layout, columns, first_only)


def _read(path: Path, layout: str, columns: Columns | None, first_only: bool) -> Pairs:
    name = layout
    if layout == "auto":
        found = [name for name, each in _KNOWN.items() if each.recognises(path)]
        if not found:
            raise DataError(
                f"The layout of {path} is not known: it is none of {', '.join(_KNOWN)}. Give the "
                "folder that was unpacked from the official archive, or write a Parquet table with "
                "columns 'image' and 'text'."
            )
        name = found[0]
    return _KNOWN[name].read(path, columns, first_only)
