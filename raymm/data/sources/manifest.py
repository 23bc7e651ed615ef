"""`dataset.toml`: what a folder of tables cannot say by itself. Every entry is optional.

name = "icu"
licence = "ODC-BY 1.0"
id = "patient"                          # id column of all tables; default: index, else first
modalities = ["vitals", "chemistry"]    # used by default, in this order; default: all, by name

[label]
column = "died"
task = "classification"                 # or "regression"; default: guessed from the values
[label.classes]                         # value -> name shown in reports
0 = "survived"
1 = "died"

[columns]                               # columns used of a table; default: all but the id
vitals = ["HR_first", "HR_last"]

[max_length]                            # most vectors of a sequence; the first ones are kept
notes = 512
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raymm.data.dataset import Task
from raymm.errors import DataError, nearest

FILE = "dataset.toml"
TASKS: tuple[Task, ...] = typing.get_args(Task)
_KEYS = ("name", "licence", "id", "modalities", "label", "columns", "max_length")
_LABEL_KEYS = ("column", "task", "classes")


@dataclass(frozen=True)
class Manifest:
    """What `dataset.toml` says; the defaults stand for "nothing".

    Attributes:
        label: label column used when none is asked for.
        task: of that label column.
        classes: of that label column, value as text -> name.
        columns: modality -> columns used.
        max_length: modality -> most vectors of a sequence.
    """

    name: str = ""
    licence: str = ""
    id: str | None = None
    modalities: tuple[str, ...] = ()
    label: str | None = None
    task: Task | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_length: Mapping[str, int] = field(default_factory=dict)


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        DataError: it is not TOML, or holds an unknown key or a value of the wrong type.
    """
    try:
        entries = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{where} is not valid TOML: {error}. Mend it at that place.") from error
    _check_keys(entries, _KEYS, where)
    label = _group(entries, "label", where)
    _check_keys(label, _LABEL_KEYS, f"[label] of {where}")
    task = _text(label, "task", where)
    if task is not None and task not in TASKS:
        raise DataError(f"task = '{task}' in {where} is unknown: {nearest(task, TASKS)}")
    columns = _group(entries, "columns", where)
    lengths = _group(entries, "max_length", where)
    classes = _group(label, "classes", where)
    return Manifest(
        name=_text(entries, "name", where) or "",
        licence=_text(entries, "licence", where) or "",
        id=_text(entries, "id", where),
        modalities=_texts(entries, "modalities", where),
        label=_text(label, "column", where),
        task=task,
        classes={value: _text(classes, value, where) or value for value in classes},
        columns={modality: _texts(columns, modality, where) for modality in columns},
        max_length={modality: _length(lengths, modality, where) for modality in lengths},
    )


def _check_keys(entries: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in entries:
        if key not in known:
            raise DataError(f"{where} has no entry '{key}': {nearest(key, known)}")


def _group(entries: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = entries.get(key, {})
    if not isinstance(value, dict):
        raise DataError(f"'{key}' in {where} = {value!r} should be a group: write it as [{key}].")
    return value


def _length(entries: Mapping[str, Any], key: str, where: str) -> int:
    value = entries[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"'{key}' in [max_length] of {where} = {value!r} should be 1 or more.")
    return value


def _text(entries: Mapping[str, Any], key: str, where: str) -> str | None:
    value = entries.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"'{key}' in {where} = {value!r} should be text. Put it in quotes.")
    return value


def _texts(entries: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = entries.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"'{key}' in {where} = {value!r} should be a list of texts.")
    twice = sorted({item for item in value if value.count(item) > 1})
    if twice:
        raise DataError(f"'{key}' in {where} names '{twice[0]}' twice. Name it once.")
    return tuple(value)
