"""Files of a set that can't be read, left out of it."""

from collections.abc import Sequence
from dataclasses import replace

from tqdm.auto import tqdm

from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._provenance import is_dicom_file
from skcovid.datasets._sets import RadiographSet
from skcovid.reading._check_files import inspect_files, try_read
from skcovid.reading._dicom_headers import read_header
from skcovid.reading._paths import format_path

__all__ = ["leave_out_bad_files"]


def leave_out_bad_files(
    found: RadiographSet, *, n_jobs: int, verbose: int
) -> tuple[RadiographSet, dict[str, str]]:
    """Read every file of a set, and leave out those that can't be."""
    progress = tqdm(
        inspect_files(found.paths, n_jobs=n_jobs),
        total=len(found.paths),
        desc="files",
        unit="file",
        disable=not verbose,
    )
    reasons = {}
    for path, content in zip(found.paths, progress, strict=True):
        # What is wrong with a header may be of no concern to the pixels.
        entry: object = content
        if is_dicom_file(path) and not isinstance(content, Exception):
            entry = try_read(read_header, path)
        if isinstance(entry, Exception):
            reasons[path] = str(entry).removeprefix(f"{format_path(path)}: ")
    rows = [row for row, path in enumerate(found.paths) if path not in reasons]
    _check_classes_left(found, rows, reasons)

    def take(values: Sequence[str]) -> list[str]:
        return [values[row] for row in rows]

    kept = replace(
        found,
        paths=take(found.paths),
        files=take(found.files),
        labels=take(found.labels),
        splits=take(found.splits),
    )
    return kept, reasons


def _check_classes_left(
    found: RadiographSet, rows: Sequence[int], reasons: dict[str, str]
) -> None:
    lost = sorted(set(found.labels) - {found.labels[row] for row in rows})
    if lost:
        bad = [f"{format_path(path)}: {reason}" for path, reason in reasons.items()]
        raise ValueError(
            f"on_error='report' leaves no image of class {lost[0]!r} in {found.name}: "
            f"none of its files can be read. {enumerate_some(bad)}"
        )
