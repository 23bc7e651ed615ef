"""From a folder that `datasets` wrote to a data set in memory, or to a packed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raymm.data.dataset import Dataset
from raymm.data.pack_writer import PackWriter
from raymm.data.sources.huggingface.labels import write_labels
from raymm.data.sources.huggingface.saved import Column, Saved, open_saved
from raymm.data.sources.intake import Intake, Writer
from raymm.data.sources.memory import MemoryWriter
from raymm.data.sources.preparation import Meter, NoMeter, Notes, Prepared
from raymm.errors import ConfigError, DataError, nearest
from raymm.storage.address import open_address
from raymm.storage.folders import entries, here

FILLER = -10000.0
"""The padding of the paper's code, which its authors also filled gaps in proteins with."""
MOST_IN_MEMORY = 4 * 2**30
"""Bytes of files that are read into memory at most."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceSettings:
    """How a folder of `datasets` becomes a data set."""

    max_length: Mapping[str, int] = field(default_factory=dict)
    """Modality -> most vectors of a sequence; the others stay as they are."""
    id: str | None = None
    """Column that names the samples; a known one, else the rows' numbers, if not given."""

    def __post_init__(self) -> None:
        for name, length in self.max_length.items():
            if length < 1:
                raise ConfigError(
                    f"max_length of {name} = {length} is out of range. Give 1 or more."
                )


def load_huggingface(
    address: str, modalities: Sequence[str] = (), label: str | None = None
) -> Dataset:
    """Read a folder into memory.

    Args:
        address: of the folder; one such as s3:// is copied to this machine first.
        modalities: modalities used, in this order; empty means all as they stand.
        label: one of the labels; None means the default.

    Raises:
        DataError: it is damaged, too large, or holds no modality.
        StorageError: the address cannot be used, or this machine has no room for a copy.
    """
    files = entries(*open_address(address))
    size = sum(entry.size for name, entry in files.items() if name.endswith(".arrow"))
    if size > MOST_IN_MEMORY:
        raise DataError(
            f"{address} holds {size / 1e9:.1f} GB, too much for memory. Pack it first: `raymm data "
            f"prepare huggingface --from {address} --to FOLDER`, and use that folder."
        )
    writer = MemoryWriter()
    with here(address) as folder:
        fill(open_saved(str(folder)), writer, HuggingFaceSettings(), NoMeter(), Notes())
    return writer.dataset(folder.name, modalities, label)


def prepare_huggingface(
    address: str,
    to: str,
    settings: HuggingFaceSettings | None = None,
    meter: Meter | None = None,
) -> Prepared:
    """Write a folder's rows as a packed data set, without holding more than a few in memory.

    A folder at an address such as s3:// is copied to this machine first.

    Raises:
        DataError: it is damaged or holds no modality, or the data set cannot be written.
    """
    settings, notes = settings or HuggingFaceSettings(), Notes()
    with here(address) as folder, PackWriter(to, name=folder.name) as writer:
        intakes = fill(open_saved(str(folder)), writer, settings, meter or NoMeter(), notes)
        for file, text in notes.files(folder.name).items():
            writer.attach(file, text)
    samples = set().union(*(intake.ids for intake in intakes))
    counts = {intake.name: intake.counts.samples for intake in intakes}
    return Prepared(to, len(samples), counts, notes)


def fill(
    saved: Saved, writer: Writer, settings: HuggingFaceSettings, meter: Meter, notes: Notes
) -> list[Intake]:
    """Take up all modalities and labels of a folder.

    Raises:
        DataError: as for `prepare_huggingface`.
    """
    ids = saved.ids(settings.id)
    columns = saved.modalities()
    known = [column.name for column in columns]
    for name in settings.max_length:
        if name not in known:
            raise ConfigError(f"max_length has no modality '{name}': {nearest(name, known)}")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    intakes = [
        _take(saved, column, ids, order, writer, settings, meter, notes) for column in columns
    ]
    write_labels(saved, ids, saved.id_column(settings.id), writer, notes)
    return intakes


def _take(
    saved: Saved,
    column: Column,
    ids: Sequence[str],
    order: Sequence[int],
    writer: Writer,
    settings: HuggingFaceSettings,
    meter: Meter,
    notes: Notes,
) -> Intake:
    """Take up one modality, in the order of the samples' names."""
    names = [str(place) for place in range(column.width)]
    length = settings.max_length.get(column.name)
    intake = Intake(writer, column.name, column.kind, names, max_length=length, filler=FILLER)
    progress = meter.begin(column.name, len(order))
    for row in order:
        values = saved.values(column, row)
        if values is not None and len(values):
            intake.add(ids[row], values, saved.address)
        progress(1)
    intake.finish(notes)
    return intake
