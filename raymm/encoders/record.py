"""What a cache of embeddings is made of: written beside the vectors, held against what is wanted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raymm.config import from_dict
from raymm.data.problems import some
from raymm.errors import ConfigError, DataError

RECORD = "embeddings.json"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one modality's vectors are made of: all that decides them.

    Attributes:
        modality: of the cache.
        items: modality of the pairs whose items are encoded.
        data: fingerprint of the pairs.
        encoder: as it was asked for.
        weights: SHA-256 of its weights.
        preprocessing: see `raymm.encoders.base.Encoder`.
        tokens: whether they are token sequences.
    """

    modality: str
    items: str
    data: str
    encoder: str
    weights: str
    preprocessing: str
    tokens: bool

    @property
    def key(self) -> str:
        """Hash of what decides the vectors; the encoder's name and the modality's do not."""
        decides = (VERSION, self.items, self.data, self.weights, self.preprocessing, self.tokens)
        return hashlib.sha256(repr(decides).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one modality.

    Attributes:
        source: what it was made of.
        truncated: different texts that were cut to what the encoder takes.
        unreadable: samples whose image does not decode; they lack the modality.
    """

    source: Source
    truncated: int = 0
    unreadable: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """What was odd, in words."""
        return remarks(self.truncated, self.unreadable)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a cache says of itself."""

    version: int
    pairs: str
    modalities: tuple[Outcome, ...]

    def text(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"


def read_record(text: str, where: str) -> Record:
    """A record from its JSON.

    Raises:
        DataError: it is none.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        record = from_dict(Record, said)
    except (ValueError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(
            f"{where}/{RECORD} cannot be read: {error}. Remove the folder and embed again."
        ) from error
    if record.version != VERSION:
        raise DataError(
            f"{where}/{RECORD} is of format {record.version}, this raymm reads {VERSION}. Remove the "
            "folder and embed again."
        )
    return record


def check_same(record: Record, wanted: tuple[Source, ...], where: str) -> None:
    """Refuse a cache that was made of something else.

    Raises:
        DataError: says what differs, with both checksums where it is the weights or the data.
    """
    has = {outcome.source.modality: outcome.source for outcome in record.modalities}
    asked = {source.modality: source for source in wanted}
    remedy = "Give another --out, or remove the folder."
    if set(has) != set(asked):
        raise DataError(
            f"{where} holds the modalities {', '.join(has)}, not {', '.join(asked)}. {remedy}"
        )
    for name, source in asked.items():
        old = has[name]
        start = f"{where} cannot be used for '{source.encoder}': its modality '{name}' was made"
        if old.weights != source.weights:
            raise DataError(
                f"{start} by '{old.encoder}' with the weights {old.weights}, but those asked for "
                f"are {source.weights}. {remedy}"
            )
        if old.data != source.data:
            raise DataError(
                f"{start} of data with the fingerprint {old.data}, but that of '{source.items}' is "
                f"now {source.data}. {remedy}"
            )
        if old.key != source.key:
            raise DataError(
                f"{start} with other settings ({_settings(old)}) than those asked for "
                f"({_settings(source)}). {remedy}"
            )


def _settings(source: Source) -> str:
    kind = "token sequences" if source.tokens else "pooled vectors"
    return f"{kind} of '{source.items}', {source.preprocessing}"


def remarks(truncated: int, unreadable: Sequence[str]) -> list[str]:
    """What was odd of a modality that was encoded, in words; nothing where nothing was.

    Args:
        truncated: different texts that were cut to what the encoder takes.
        unreadable: samples whose image does not decode.
    """
    said = []
    if truncated:
        said.append(f"{truncated:,} texts were longer than it takes, and were cut")
    if unreadable:
        listed = some(unreadable)
        said.append(f"{len(unreadable):,} images do not decode and are left out: {listed}")
    return said
