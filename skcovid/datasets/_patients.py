"""Patients of public collections, from their file names."""

import re

_KERMANY = re.compile(
    r"(person\d+_(?:virus|bacteria))_\d+(?:_\d+)?"
    r"|((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?"
    r"|(?:NORMAL|BACTERIA|VIRUS)-(\d+)-\d+"
)
_NIH = re.compile(r"(\d{8})_\d{3}")


def kermany_patient(stem: str) -> str | None:
    """Patient of an image of the Kermany paediatric chest X-ray set.

    Three schemes are in use. Kaggle's copy ("Chest X-Ray Images (Pneumonia)") has
    ``person1_virus_6`` for pneumonia, and for normal images their study,
    ``IM-0115-0001`` or ``NORMAL2-IM-1427-0001``. The publishers' archive
    (doi:10.17632/rscbjbr9sj, version 3) has disease, randomised patient ID and image
    number: ``BACTERIA-1008087-0001``.

    ``person1_virus`` and ``person1_bacteria`` are two patients: one is in the test set
    and the other in the training set, which are said to have no patient in common.
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
    match = _KERMANY.fullmatch(stem)
    return match.group(match.lastindex or 0) if match else None


def nih_patient(stem: str) -> str | None:
    """Patient of an image of NIH ChestX-ray14.

    Its file names are the patient ID, eight digits, and the follow-up number (columns
    "Patient ID" and "Follow-up #" of its ``Data_Entry_2017.csv``).

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


def find_patient(stem: str) -> tuple[str, str]:
    """Patient of a file name and its collection; empty if it follows no scheme."""
    if patient := kermany_patient(stem):
        return patient, "Kermany"
    patient = nih_patient(stem)
    return (patient, "NIH ChestX-ray14") if patient else ("", "")
