"""Patients, sources, views and attributes: from a table, headers or file names."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from skcovid._base._progress import Progress
from skcovid.datasets._attributes import parse_attribute
from skcovid.datasets._listing import kind_of_image
from skcovid.datasets._patients import find_patient
from skcovid.datasets._sets import RadiographSet
from skcovid.reading._check_files import raise_problems, try_read
from skcovid.reading._dicom_headers import DicomHeader, read_header, view_term
from skcovid.reading._paths import format_path

NOT_KNOWN = "not known"


def fill_provenance(found: RadiographSet, *, verbose: int) -> None:
    """Set what is known of each image; a table takes precedence."""
    paths = [image.path for image in found.images if is_dicom_file(image.path)]
    with Progress("DICOM headers", len(paths), "file", verbose) as progress:
        results = [try_read(read_header, path) for path in progress.follow(paths)]
    headers = dict(zip(paths, raise_problems(results), strict=True))
    patients = _find_header_patients(headers)
    for label in found.class_names:
        own = [image for image in found.images if image.label == label]
        origins, unnamed = set(), []
        for image in own:
            if (header := headers.get(image.path)) is None:
                stem = PurePosixPath(image.path).stem
                image.patient, image.source = find_patient(stem)
                named, origin = image.patient, f"from file names ({image.source})"
            else:
                image.patient, named = patients[image.path], header.patient
                image.source, image.view = header.institution, header.view_position
                for name, text in header.attributes.items():
                    # What is not in DICOM's form is not known.
                    with suppress(ValueError):
                        image.attributes[name] = parse_attribute(name, text)
                origin = "from DICOM headers"
            if image.patient:
                origins.add(origin)
            if not named:
                unnamed.append(image.path)
        described = ", ".join(sorted(origins)) or NOT_KNOWN
        if origins and unnamed:
            described += f", but {len(unnamed)} images count by study or by image"
        found.patient_origins[label] = described
        found.unnamed += [path for path in unnamed if origins or path in headers]
    if found.table is None:
        return
    for image in found.images:
        row = found.table.rows[image.file]
        image.patient = row.get("patient", image.patient)
        image.source = row.get("source", image.source)
        image.view = view_term(row.get("view", "")) or image.view
        listed = found.table.attributes(image.file).items()
        image.attributes |= {name: value for name, value in listed if value}
    if "patient" in found.table.columns:
        origin = f"from {format_path(found.table.path)}"
        found.patient_origins = dict.fromkeys(found.class_names, origin)
        found.unnamed = []


def is_dicom_file(path: str) -> bool:
    """Whether a file of a set is in the DICOM format."""
    return kind_of_image(Path(path)) == "dicom"


def _find_header_patients(headers: Mapping[str, DicomHeader]) -> dict[str, str]:
    """Patient of each DICOM file, or its study if only that is known."""
    issuers = defaultdict(set)
    for header in headers.values():
        issuers[header.patient].add(header.issuer)
    patients = {}
    for path, header in headers.items():
        own = issuers[header.patient]
        patients[path] = f"study {header.study}" if header.study else ""
        if header.patient:
            # An ID from two issuers is two patients, unless a file may be of either.
            prefix = f"{header.issuer}: " if len(own) > 1 and all(own) else ""
            patients[path] = prefix + header.patient
    return patients
