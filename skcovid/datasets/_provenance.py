"""Whose radiographs they are, from where, and of which view.

From a table, from DICOM headers, or from file names, in this order.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from skcovid.datasets._listing import kind_of_image
from skcovid.datasets._metadata import Metadata
from skcovid.datasets._patients import find_patients
from skcovid.reading._check_files import raise_problems, try_read
from skcovid.reading._dicom_headers import DicomHeader, read_header, view_term

__all__ = ["Provenance", "find_provenance", "is_dicom_file"]

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Provenance:
    """What is known of each radiograph beside its label."""

    groups: list[str] | None
    patient_origins: dict[str, str]
    views: list[str]
    sources: list[str] | None
    n_nameless: int


def find_provenance(
    paths: Sequence[str],
    files: Sequence[str],
    labels: Sequence[str],
    table: Metadata | None,
    *,
    verbose: int,
) -> Provenance:
    """Find out about the patients, sources and views of radiographs."""
    headers = _read_headers(paths, verbose)
    schemes = _find_schemes(paths, labels, headers)
    groups, origins, n_nameless = _find_patients(files, labels, table, headers, schemes)
    known = any(origin != NOT_KNOWN for origin in origins.values())
    return Provenance(
        groups if known else None,
        origins,
        _find_views(files, table, headers),
        _find_sources(files, table, headers, schemes),
        n_nameless,
    )


def _read_headers(paths: Sequence[str], verbose: int) -> dict[int, DicomHeader]:
    rows = [row for row, path in enumerate(paths) if is_dicom_file(path)]
    progress = tqdm(
        rows, desc="DICOM headers", unit="file", disable=not verbose or not rows
    )
    found = {row: try_read(read_header, paths[row]) for row in progress}
    raise_problems(list(found.values()))
    return {row: one for row, one in found.items() if isinstance(one, DicomHeader)}


def is_dicom_file(path: str) -> bool:
    """Whether a file of a set is in the DICOM format."""
    return kind_of_image(Path(path)) == "dicom"


def _find_schemes(
    paths: Sequence[str], labels: Sequence[str], headers: Mapping[int, DicomHeader]
) -> dict[str, tuple[str, dict[int, str]]]:
    """By label, a scheme that explains all names of its files, and their patients."""
    rows_of = defaultdict(list)
    for row, label in enumerate(labels):
        if row not in headers:
            rows_of[label].append(row)
    schemes = {}
    for label, rows in rows_of.items():
        found = find_patients([PurePosixPath(paths[row]).stem for row in rows])
        if found is not None:
            name, patients = found
            schemes[label] = name, dict(zip(rows, patients, strict=True))
    return schemes


def _group_headers(headers: Mapping[int, DicomHeader]) -> dict[int, str]:
    """Patients of DICOM files; the study's where only that is known."""
    issuers = defaultdict(set)
    for header in headers.values():
        issuers[header.patient].add(header.issuer)
    groups = {}
    for row, header in headers.items():
        # One number of two issuers is two patients, unless a file may be of either.
        is_ambiguous = len(issuers[header.patient]) > 1 and all(issuers[header.patient])
        if header.patient:
            issuer = f"{header.issuer}: " if is_ambiguous else ""
            groups[row] = issuer + header.patient
        elif header.study:
            groups[row] = f"study {header.study}"
    return groups


def _describe_headers(headers: Sequence[DicomHeader]) -> str:
    nameless = [header for header in headers if not header.patient]
    if not nameless:
        return "from DICOM headers"
    if len(nameless) < len(headers) or any(header.study for header in headers):
        return (
            f"from DICOM headers, of which {len(nameless)} name none and count by study"
        )
    return NOT_KNOWN


def _find_patients(
    files: Sequence[str],
    labels: Sequence[str],
    table: Metadata | None,
    headers: Mapping[int, DicomHeader],
    schemes: Mapping[str, tuple[str, dict[int, str]]],
) -> tuple[list[str], dict[str, str], int]:
    """Give groups, how each label's were found, and the number of nameless files."""
    if table is not None and (patients := table.column("patient", files)) is not None:
        return patients, dict.fromkeys(labels, f"from {table.path}"), 0
    found, origins = _group_headers(headers), dict.fromkeys(labels, NOT_KNOWN)
    for label, (scheme, own) in schemes.items():
        found |= own
        origins[label] = f"from file names ({scheme})"
    for label in dict.fromkeys(labels[row] for row in headers):
        of_label = [headers[row] for row in headers if labels[row] == label]
        origins[label] = _describe_headers(of_label)
    groups = [found.get(row, file) for row, file in enumerate(files)]
    return groups, origins, sum(not header.patient for header in headers.values())


def _find_views(
    files: Sequence[str], table: Metadata | None, headers: Mapping[int, DicomHeader]
) -> list[str]:
    stated = None if table is None else table.column("view", files)
    views = [""] * len(files) if stated is None else [view_term(one) for one in stated]
    for row, header in headers.items():
        views[row] = views[row] or header.view_position
    return views


def _find_sources(
    files: Sequence[str],
    table: Metadata | None,
    headers: Mapping[int, DicomHeader],
    schemes: Mapping[str, tuple[str, dict[int, str]]],
) -> list[str] | None:
    if table is not None and (stated := table.column("source", files)) is not None:
        return stated
    sources = [""] * len(files)
    for row, header in headers.items():
        sources[row] = header.institution
    for scheme, patients in schemes.values():
        for row in patients:
            sources[row] = scheme
    return sources if any(sources) else None
