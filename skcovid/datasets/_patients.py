"""Patients of public collections: one function each."""

import csv
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from skcovid.datasets._metadata import enumerate_some

__all__ = [
    "PARSERS",
    "cohen_patients",
    "find_patients",
    "kermany_patient",
    "nih_patient",
]

_KERMANY_PERSON = re.compile(r"(person\d+_(?:virus|bacteria))_\d+(?:_\d+)?")
_KERMANY_STUDY = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?")
_KERMANY_RANDOMISED = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-\d+")
_NIH = re.compile(r"(\d{8})_\d{3}")


def kermany_patient(stem: str) -> str | None:
    """Patient of an image of the Kermany paediatric chest X-ray set.

    Three schemes are in circulation. Kaggle's copy ("Chest X-Ray Images (Pneumonia)")
    names pneumonia ``person1_virus_6``, and normal images ``IM-0115-0001`` or
    ``NORMAL2-IM-1427-0001`` after their study; a trailing part numbers further images
    of the same study. The publishers' archive (doi:10.17632/rscbjbr9sj, version 3)
    describes its names as disease, randomised patient ID and image number:
    ``BACTERIA-1008087-0001``.

    Persons are counted separately for virus and bacteria: ``person1_virus`` is in the
    test set and ``person1_bacteria`` in the training set, whose patients are said to
    be independent. So ``person1_virus`` and ``person1_bacteria`` are two patients.
    Likewise ``IM-0115`` and ``NORMAL2-IM-0115`` are two studies.

    Parameters
    ----------
    stem : str
        File name without suffix.

    Returns
    -------
    str or None
        The patient, or None if the name follows none of the schemes.

    Examples
    --------
    >>> from skcovid.datasets import kermany_patient
    >>> kermany_patient("person1003_bacteria_2934")
    'person1003_bacteria'
    >>> kermany_patient("NORMAL2-IM-1427-0001")
    'NORMAL2-IM-1427'
    >>> kermany_patient("BACTERIA-1008087-0001")
    '1008087'
    """
    for scheme in (_KERMANY_PERSON, _KERMANY_STUDY, _KERMANY_RANDOMISED):
        if match := scheme.fullmatch(stem):
            return match.group(1)
    return None


def nih_patient(stem: str) -> str | None:
    """Patient of an image of NIH ChestX-ray14.

    Its file names are the patient ID, eight digits, and the number of the follow-up
    (columns "Patient ID" and "Follow-up #" of its ``Data_Entry_2017.csv``). A patient
    may have images in several classes.

    Parameters
    ----------
    stem : str
        File name without suffix.

    Returns
    -------
    str or None
        The patient, or None if the name does not follow the scheme.

    Examples
    --------
    >>> from skcovid.datasets import nih_patient
    >>> nih_patient("00000013_005")
    '00000013'
    """
    match = _NIH.fullmatch(stem)
    return match.group(1) if match else None


def cohen_patients(
    metadata: str | os.PathLike, files: Iterable[str | os.PathLike]
) -> list[str]:
    r"""Patients of images of the Cohen collection (COVID-19 image data collection).

    Its file names are those of the publications the images are from and name no
    patient. Its ``metadata.csv`` does, in the column ``patientid`` (``Patientid`` in
    early versions), beside ``filename``, which is without a folder. So the images may
    lie in any folders, such as one a class.

    Parameters
    ----------
    metadata : str or path-like
        The collection's ``metadata.csv``.
    files : iterable of str or path-like
        Images of the collection; only the last part of a path counts.

    Returns
    -------
    list of str
        Patient of each file.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    ValueError
        If the table lacks one of the columns, has no row or no patient for a file, or
        two patients for one.

    References
    ----------
    J. P. Cohen, P. Morrison, L. Dao, K. Roth, T. Q. Duong and M. Ghassemi (2020).
    COVID-19 image data collection: prospective predictions are the future. Machine
    Learning for Biomedical Imaging, 1. https://github.com/ieee8023/covid-chestxray-dataset

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skcovid.datasets import cohen_patients
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder, "metadata.csv")
    ...     _ = table.write_text("patientid,filename\n6,lancet-case2a.jpg\n")
    ...     cohen_patients(table, ["COVID-19/lancet-case2a.jpg"])
    ['6']
    """
    known: dict[str, str] = {}
    with Path(metadata).open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream)
        columns = {name.strip().casefold(): name for name in table.fieldnames or []}
        for column in ("patientid", "filename"):
            if column not in columns:
                raise ValueError(
                    f"{metadata} has no column {column!r}; give the metadata.csv of "
                    "the Cohen collection."
                )
        for row in table:
            file, patient = (
                (row[columns[name]] or "").strip() for name in ("filename", "patientid")
            )
            if known.setdefault(file, patient) != patient:
                raise ValueError(
                    f"{metadata} has two patients for {file}: {known[file]!r} and "
                    f"{patient!r}."
                )
    names = [PurePath(file).name for file in files]
    unknown = [name for name in names if not known.get(name)]
    if unknown:
        raise ValueError(
            f"{metadata} gives no patient for {len(unknown)} of {len(names)} images: "
            f"{enumerate_some(unknown)}."
        )
    return [known[name] for name in names]


PARSERS: dict[str, Callable[[str], str | None]] = {
    "Kermany": kermany_patient,
    "NIH ChestX-ray14": nih_patient,
}


def find_patients(stems: Iterable[str]) -> tuple[str, list[str]] | None:
    """Patients of one folder, if one scheme explains every file name in it.

    Parameters
    ----------
    stems : iterable of str
        File names without suffix.

    Returns
    -------
    name, patients : str and list of str
        Name of the scheme, and one patient a file. None instead of both if no scheme
        recognises every name.

    Examples
    --------
    >>> from skcovid.datasets._patients import find_patients
    >>> find_patients(["00000013_005", "00000014_000"])
    ('NIH ChestX-ray14', ['00000013', '00000014'])
    >>> find_patients(["00000013_005", "COVID-1"]) is None
    True
    """
    stems = list(stems)
    for name, parse in PARSERS.items():
        patients = [patient for stem in stems if (patient := parse(stem))]
        if len(patients) == len(stems):
            return name, patients
    return None
