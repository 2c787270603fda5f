"""Age, sex, date and other attributes of images, as tables and headers write them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Attributes with one meaning in every set; all are text, except the age.
KNOWN = ("age", "sex", "view", "manufacturer", "model", "acquisition_date", "source")
_UNKNOWN = frozenset({"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown"})
_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
# Years, or three digits and a unit as DICOM's Age String has (PS3.5, 6.2); 90+ is how
# de-identified data give an age of 90 and above.
_AGE = re.compile(r"(\d{1,3}(?:\.\d+)?)(?:([YMWD])|\+)?", re.IGNORECASE)
_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_MAX_AGE = 130
_DATE = re.compile(r"(\d{4})([-.]?)(\d\d)\2(\d\d)(?:[T ].*)?")
# A number that text gives exactly; 007 is a name.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")


def parse_attribute(name: str, text: str) -> str:
    """Return a value in one form for all sets; empty if it is not known."""
    if name not in KNOWN or name == "source":
        return text
    return "" if text.casefold() in _UNKNOWN else _PARSERS.get(name, str)(text)


def as_arrays(rows: Sequence[Mapping[str, str]]) -> dict[str, NDArray[Any]]:
    """Return the attributes that are known for an image, as one array each."""
    found = dict.fromkeys(name for row in rows for name, value in row.items() if value)
    arrays: dict[str, NDArray[Any]] = {}
    for name in sorted(found, key=(*KNOWN, *found).index):
        values = [row.get(name, "") for row in rows]
        is_text = name in KNOWN and name != "age"
        if is_text or not all(map(_NUMBER.fullmatch, filter(None, values))):
            arrays[name] = np.array(values)
        else:
            arrays[name] = np.array([float(value or "nan") for value in values])
    return arrays


def _parse_age(text: str) -> str:
    years = math.inf
    if (match := _AGE.fullmatch(text)) is not None:
        years = float(match[1]) / _UNITS_PER_YEAR[(match[2] or "Y").upper()]
    if years > _MAX_AGE:
        raise ValueError(
            f"age {text!r} is not from 0 to {_MAX_AGE} years. Write 45, 0.5 or 90+; or "
            "as DICOM does, 045Y, 006M, 003W or 010D; leave it empty if unknown"
        )
    return f"{years:.10f}"


def _parse_sex(text: str) -> str:
    if (sex := _SEXES.get(text.casefold())) is None:
        raise ValueError(
            f"sex {text!r} is not understood. Write F, M or O, or female, male or "
            "other; leave it empty if unknown"
        )
    return sex


def _parse_date(text: str) -> str:
    match = _DATE.fullmatch(text)
    with suppress(ValueError):
        if match is not None:
            return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    raise ValueError(
        f"acquisition date {text!r} is not a date. Write it as 2020-03-31 or 20200331; "
        "leave it empty if unknown"
    )


_PARSERS: dict[str, Callable[[str], str]] = {
    "age": _parse_age,
    "sex": _parse_sex,
    "acquisition_date": _parse_date,
}
