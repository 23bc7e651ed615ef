"""The challenge's records: a text for each patient, in an archive or a folder."""

from __future__ import annotations

import csv
import io
import math
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raymm.data.problems import some
from raymm.data.sources.place import Place
from raymm.data.sources.preparation import Meter
from raymm.data.sources.stream import Source
from raymm.errors import DataError
from raymm.storage.address import words

RECORD = re.compile(r"(?:^|/)(\d+)\.txt$")
SET = re.compile(r"^set-([abc])(\.zip|\.tar\.gz|\.tgz)?$")
DESCRIBED = ("Age", "Gender", "Height", "Weight")
UNITS = {"1": "CCU", "2": "CSRU", "3": "MICU", "4": "SICU"}
"""Value of ICUType -> a column of `admission` that is 1 for it."""


@dataclass(frozen=True)
class Patient:
    """A record.

    Attributes:
        record: its number.
        described: what is known at admission.
        series: variable -> (minute, value), in the order of the file.
        unknown: variables that are not known here -> how often they stand there.
    """

    record: str
    described: Mapping[str, float]
    series: Mapping[str, list[tuple[int, float]]]
    unknown: Mapping[str, int]


def read_patient(text: bytes, where: str, measured: Collection[str]) -> Patient:
    """Read a record.

    Args:
        text: of the file.
        where: it lies, for messages.
        measured: variables that are known.

    Raises:
        DataError: it is cut, or a line is not a time, a variable and a number.
    """
    lines = list(csv.reader(io.StringIO(text.decode("utf-8", errors="replace"))))
    if not lines or lines[0] != ["Time", "Parameter", "Value"] or not text.endswith((b"\n", b"\r")):
        raise DataError(
            f"{where} does not begin with 'Time,Parameter,Value' or ends inside a line. It is cut "
            "or no record of the challenge: download it again."
        )
    record = ""
    described: dict[str, float] = {}
    series: dict[str, list[tuple[int, float]]] = {}
    unknown: Counter[str] = Counter()
    for number, line in enumerate(lines[1:], start=2):
        minute, name, value = _entry(line, f"{where}, line {number}")
        if name == "RecordID":
            record = str(int(value))
        elif name == "ICUType":
            described |= {unit: float(key == str(int(value))) for key, unit in UNITS.items()}
        elif minute == 0 and name in DESCRIBED and name not in described:
            described[name] = math.nan if value < 0 else value
        elif name in measured:
            series.setdefault(name, []).append((minute, value))
        elif name:
            unknown[name] += 1
    if not record:
        raise DataError(f"{where} has no RecordID. Download it again.")
    return Patient(record, described, series, unknown)


def _entry(line: Sequence[str], where: str) -> tuple[int, str, float]:
    """Minute, variable and value of a line."""
    time = re.fullmatch(r"(\d+):(\d\d)", line[0]) if len(line) == 3 else None
    try:
        if time is None:
            raise ValueError("it is not a time, a variable and a value")
        value = float(line[2])
        if not math.isfinite(value):
            raise ValueError("its value is not finite")
    except ValueError as error:
        raise DataError(
            f"{where}: '{','.join(line)[:60]}' cannot be read: {error}. Download the file again."
        ) from error
    return 60 * int(time[1]) + int(time[2]), line[1].strip(), value


def records(place: Place, meter: Meter) -> Iterator[tuple[bytes, str]]:
    """The text of every record, from archives or folders."""
    found = [name for name in (*place.files, *place.folders) if SET.match(name)]
    letters = [match[1] for name in found if (match := SET.match(name))]
    if not found or len(set(letters)) < len(letters):
        raise DataError(
            f"{place.address} should hold one of set-a.zip, set-a.tar.gz or the folder set-a (or b, "
            f"c), each set once; it holds {some([*place.files, *place.folders]) or 'nothing'}."
        )
    for name in found:
        progress = meter.begin(name, None)
        records: Iterator[tuple[str, bytes]]
        if name in place.folders:
            inside = place.inside(name)
            records = ((file, inside.read(file)) for file in inside.files if RECORD.search(file))
        else:
            records = _unpacked(Source(place, name))
        for file, text in records:
            progress(len(text))
            yield text, f"{place.address}/{name}/{file.rsplit('/', 1)[-1]}"


def _unpacked(source: Source) -> Iterator[tuple[str, bytes]]:
    """Records of an archive; nothing is written to disk."""
    content = io.BytesIO(source.place.read(source.name))
    try:
        if source.name.endswith(".zip"):
            with zipfile.ZipFile(content) as archive:
                _check_entries(archive, content.getvalue())
                for name in archive.namelist():
                    if not name.endswith("/") and _is_record(name):
                        yield name, archive.read(name)
        else:
            with tarfile.open(fileobj=content, mode="r:gz") as packed:
                for member in packed:
                    if not member.isdir() and _is_record(member.name):
                        file = packed.extractfile(member)
                        yield member.name, b"" if file is None else file.read()
    except (
        OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError,
        RuntimeError, ValueError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{source.where} cannot be unpacked: {words(error)}. It is cut or damaged: download it "
            "again."
        ) from error


def _check_entries(archive: zipfile.ZipFile, content: bytes) -> None:
    """The directory of a damaged archive may be read as a shorter one; its end counts the files."""
    end = content.rfind(b"PK\5\6")
    count = int.from_bytes(content[end + 10 : end + 12], "little")
    if count != len(archive.infolist()):
        raise ValueError(f"it lists {len(archive.infolist()):,} files and should {count:,}")


def _is_record(name: str) -> bool:
    """Whether a file of an archive is a record; a damaged name must not hide one."""
    if RECORD.search(name):
        return True
    if "__MACOSX" in name or name.rsplit("/", 1)[-1].startswith("."):
        return False
    raise ValueError(f"it holds '{name}', which is no record such as 132539.txt")
