"""Patients, sources and views, from a table, DICOM headers or file names."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from skcovid.datasets._listing import kind_of_image
from skcovid.datasets._patients import find_patients
from skcovid.datasets._sets import Radiograph, RadiographSet
from skcovid.reading._check_files import raise_problems, try_read
from skcovid.reading._dicom_headers import DicomHeader, read_header, view_term

NOT_KNOWN = "not known"


def fill_provenance(found: RadiographSet, *, verbose: int) -> None:
    """Set patient, source and view of each image; a table takes precedence."""
    paths = [image.path for image in found.images if is_dicom_file(image.path)]
    progress = tqdm(
        paths, desc="DICOM headers", unit="file", disable=not verbose or not paths
    )
    results = [try_read(read_header, path) for path in progress]
    headers = dict(zip(paths, raise_problems(results), strict=True))
    patients = _find_header_patients(headers)
    for label in found.class_names:
        own = [image for image in found.images if image.label == label]
        found.patient_origins[label] = _fill_from_names(
            [image for image in own if image.path not in headers]
        )
        for image in own:
            if (header := headers.get(image.path)) is not None:
                image.patient = patients[image.path]
                image.source = header.institution
                image.view = header.view_position
        own_headers = [headers[image.path] for image in own if image.path in headers]
        if own_headers:
            found.patient_origins[label] = _describe_origin(own_headers)
        found.n_nameless += sum(not header.patient for header in own_headers)
    if found.table is None:
        return
    for image in found.images:
        row = found.table.rows[image.file]
        image.patient = row.get("patient", image.patient)
        image.source = row.get("source", image.source)
        image.view = view_term(row.get("view", "")) or image.view
    if "patient" in found.table.columns:
        origin = f"from {found.table.path}"
        found.patient_origins = dict.fromkeys(found.class_names, origin)
        found.n_nameless = 0


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


def _fill_from_names(images: Sequence[Radiograph]) -> str:
    """Set patient and source if all file names follow one scheme; say how."""
    scheme = find_patients([PurePosixPath(image.path).stem for image in images])
    if scheme is None:
        return NOT_KNOWN
    name, patients = scheme
    for image, patient in zip(images, patients, strict=True):
        image.patient, image.source = patient, name
    return f"from file names ({name})"


def _describe_origin(headers: Sequence[DicomHeader]) -> str:
    nameless = [header for header in headers if not header.patient]
    if not nameless:
        return "from DICOM headers"
    if len(nameless) < len(headers) or any(header.study for header in headers):
        return (
            f"from DICOM headers, of which {len(nameless)} name none and count by study"
        )
    return NOT_KNOWN
