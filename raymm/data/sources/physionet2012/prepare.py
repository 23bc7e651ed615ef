"""PhysioNet / Computing in Cardiology Challenge 2012: patients of intensive care, 48 hours each.

As it is downloaded: `set-a.zip` (or `.tar.gz`, or the folder) with one text per patient, and
`Outcomes-a.txt`; sets b and c likewise.

    Time,Parameter,Value
    00:00,RecordID,132539
    00:00,Age,54
    00:07,HR,73

The variables are grouped into modalities by how they are measured. A variable of a table becomes
the first, last, lowest, highest and median value of the 48 hours; a modality of which nothing was
measured is missing. -1 in the description of a patient means that it is unknown.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from raymm.data.dataset import Label
from raymm.data.pack_writer import PackWriter
from raymm.data.problems import some
from raymm.data.sources.intake import Intake, Writer
from raymm.data.sources.physionet2012.records import (
    DESCRIBED,
    UNITS,
    Patient,
    read_patient,
    records,
)
from raymm.data.sources.place import Place, open_place
from raymm.data.sources.preparation import Meter, NoMeter, Notes, Prepared
from raymm.errors import DataError
from raymm.storage.address import words

MEASURED = {
    "arterial_line": ("DiasABP", "MAP", "SysABP"),
    "blood_gas": ("FiO2", "Lactate", "PaCO2", "PaO2", "SaO2", "pH"),
    "cardiac": ("Cholesterol", "TroponinI", "TroponinT"),
    "chemistry": (
        "BUN",
        "Creatinine",
        "Glucose",
        "HCO3",
        "HCT",
        "K",
        "Mg",
        "Na",
        "Platelets",
        "WBC",
    ),
    "liver_panel": ("ALP", "ALT", "AST", "Albumin", "Bilirubin"),
    "vitals": ("GCS", "HR", "NIDiasABP", "NIMAP", "NISysABP", "RespRate", "Temp", "Urine"),
}
"""Modality -> its variables."""
OFFICIAL = 4000
SUMMARIES = ("first", "last", "lowest", "highest", "median")
VENTILATION, VENTILATED = "ventilation", "MechVent"
VENTILATION_COLUMNS = ("MechVent_first_hour", "MechVent_last_hour", "MechVent_records")
KNOWN = {name for names in MEASURED.values() for name in names} | {VENTILATED, "Weight"}
OUTCOME = "In-hospital_death"
LICENCE = "ODC-BY 1.0; cite Silva et al. 2012 and Goldberger et al. 2000"


def prepare_physionet2012(address: str, to: str, meter: Meter | None = None) -> Prepared:
    """Read the official files of a folder and write a packed data set.

    Args:
        address: local folder, or an address that fsspec knows.
        to: folder to be made.
        meter: shows progress.

    Raises:
        DataError: a file is missing, damaged or of another form, or two records are of one patient.
    """
    meter, notes = meter or NoMeter(), Notes()
    place = open_place(address)
    patients: dict[str, Patient] = {}
    for text, where in records(place, meter):
        patient = read_patient(text, where, KNOWN)
        if patient.record in patients:
            raise DataError(f"{where}: record {patient.record} is there twice. Leave one of them.")
        patients[patient.record] = patient
    unknown: Counter[str] = Counter()
    for patient in patients.values():
        unknown.update(patient.unknown)
    notes.say(f"{len(patients):,} patients; the official sets have {OFFICIAL:,} each.")
    if unknown:
        names = ", ".join(f"{name} {count:,}" for name, count in unknown.most_common())
        notes.warn(f"Variables that are not known and not used: {names}.")
    with PackWriter(to, name="physionet2012", licence=LICENCE) as writer:
        counts = _write(patients, writer, notes)
        _write_outcomes(place, sorted(patients), writer, notes)
        for file, content in notes.files("PhysioNet 2012").items():
            writer.attach(file, content)
    return Prepared(to, len(patients), counts, notes)


def _write(patients: Mapping[str, Patient], writer: Writer, notes: Notes) -> dict[str, int]:
    """Write all modalities, and return how many patients have each."""
    summaries = {
        name: [f"{variable}_{summary}" for variable in variables for summary in SUMMARIES]
        for name, variables in MEASURED.items()
    }
    columns: dict[str, Sequence[str]] = {
        "admission": (*DESCRIBED, *UNITS.values(), "Weight_first", "Weight_last"),
        **summaries,
        VENTILATION: VENTILATION_COLUMNS,
    }
    counts = {}
    for name, names in columns.items():
        intake = Intake(writer, name, "table", names)
        for record in sorted(patients):
            row = _row(patients[record], name)
            if row is not None:
                intake.add(record, np.array([row]), f"record {record}")
        counts[name] = intake.finish(notes).samples
    return {name: count for name, count in counts.items() if count}


def _row(patient: Patient, modality: str) -> list[float] | None:
    """A patient's values of a modality; None where nothing of it was measured."""
    series = patient.series
    if modality == "admission":
        weights = [value for _, value in series.get("Weight", []) if value > 0] or [math.nan]
        known = [patient.described.get(name, math.nan) for name in (*DESCRIBED, *UNITS.values())]
        return [*known, weights[0], weights[-1]]
    if modality == VENTILATION:
        hours = [minute / 60 for minute, _ in series.get(VENTILATED, [])]
        return [min(hours), max(hours), float(len(hours))] if hours else None
    variables = MEASURED[modality]
    if not any(name in series for name in variables):
        return None
    return [value for name in variables for value in _summary(series.get(name, []))]


def _summary(entries: Sequence[tuple[int, float]]) -> list[float]:
    """First, last, lowest, highest and median value."""
    if not entries:
        return [math.nan] * len(SUMMARIES)
    values = [value for _, value in sorted(entries, key=lambda entry: entry[0])]
    return [values[0], values[-1], min(values), max(values), median(values)]


def _write_outcomes(place: Place, patients: Sequence[str], writer: Writer, notes: Notes) -> None:
    """The label: death in hospital."""
    names = [name for name in place.files if re.fullmatch(r"Outcomes-[abc]\.txt", name)]
    deaths: dict[str, int] = {}
    for name in names:
        where = f"{place.address}/{name}"
        text = place.read(name)
        try:
            rows = list(csv.DictReader(io.StringIO(text.decode())))
            found = {str(int(row["RecordID"])): int(row[OUTCOME]) for row in rows}
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise DataError(
                f"{where} cannot be read: {words(error)}. It should have the columns RecordID and "
                f"{OUTCOME}: download it again."
            ) from error
        if not text.endswith((b"\n", b"\r")) or not set(found.values()) <= {0, 1}:
            raise DataError(f"{where} is cut, or {OUTCOME} is not 0 or 1. Download it again.")
        deaths |= found
    known = [record for record in patients if record in deaths]
    strangers = sorted(deaths.keys() - set(patients))
    if strangers:
        notes.warn(f"{len(strangers):,} outcomes are of nobody in the sets: {some(strangers)}.")
        notes.leave_out("Outcomes", [(record, "is in no set") for record in strangers])
    if len({deaths[record] for record in known}) < 2:
        notes.warn("There is no label: put Outcomes-a.txt (or b, c) beside its set.")
        return
    without = sorted(set(patients) - set(known))
    if without:
        notes.warn(f"{len(without):,} patients have no outcome: {some(without)}.")
        notes.leave_out("Outcomes", [(record, "has no outcome") for record in without])
    values = np.array([deaths[record] for record in known], np.int64)
    label = Label("in_hospital_death", "classification", values, ("survived", "died"))
    writer.label(label, known, default=True)
