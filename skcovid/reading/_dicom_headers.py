"""DICOM headers: whether a file holds a radiograph, of which patient and view."""

import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, BinaryIO, cast

from skcovid._base._requirements import install_command
from skcovid.reading._files import open_file
from skcovid.reading._limits import MAX_BYTES, RefusedError
from skcovid.reading._paths import format_path

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
FRONTAL_VIEWS = frozenset({"AP", "PA", "FRONTAL"})

# Projection radiography among the defined terms of (0008,0060), PS3.3 C.7.3.1.1.1, and
# DR and XR, which no standard defines but many archives use.
_MODALITIES = ("CR", "DX", "RG", "DR", "XR")
# LL and RL are defined terms of (0018,5101), PS3.3 C.8.1.1; others spell them out. L
# and AP Supine are those of the Cohen collection (its SCHEMA.md).
_VIEW_TERMS = {
    **dict.fromkeys(
        ("L", "LL", "RL", "LAT", "LEFT LATERAL", "RIGHT LATERAL"), "LATERAL"
    ),
    **dict.fromkeys(("ANTEROPOSTERIOR", "ANTERO-POSTERIOR"), "AP"),
    **dict.fromkeys(("POSTEROANTERIOR", "POSTERO-ANTERIOR"), "PA"),
}
# A frontal view with the position of the patient, such as AP SEMI-ERECT.
_FRONTAL_VIEW = re.compile(
    r"(AP|PA)(\W+(CHEST|ERECT|MOBILE|PORTABLE|PRONE|RECUMBENT|SEMI|SITTING|STANDING"
    r"|SUPINE|UPRIGHT|VIEW))+"
)
# Names of codes in the context group "DX View", CID 4010.
_VIEW_CODES = {
    **{"AnteroPosterior": "AP", "PosteroAnterior": "PA", "Frontal": "FRONTAL"},
    **dict.fromkeys(("LateralProjection", "LeftLateral", "RightLateral"), "LATERAL"),
}
# Placeholders that de-identification writes, and IDs of zeros, crosses or punctuation.
_PLACEHOLDER = re.compile(
    r"[\W_0x]*|anon|anonymi[sz]ed|anonymous|de[- _]?identified|n[/.]?a|none|no[ _]?id"
    r"|not[ _]known|null|redacted|removed|unknown",
    re.IGNORECASE,
)
_CHUNK = 2**20
_HEADER_ELEMENTS = [
    *("SOPClassUID", "Modality", "PresentationIntentType", "NumberOfFrames"),
    *("PhotometricInterpretation", "PatientID", "IssuerOfPatientID"),
    *("StudyInstanceUID", "InstitutionName", "ViewPosition", "ViewCodeSequence"),
    *("PatientAge", "PatientSex", "Manufacturer", "ManufacturerModelName"),
    *("AcquisitionDate", "StudyDate"),
]


@dataclass(frozen=True)
class DicomHeader:
    """Origin and view of a radiograph; what the file does not say is an empty str."""

    patient: str
    issuer: str
    study: str
    institution: str
    view_position: str
    # As the file writes them, by the name of the attribute.
    attributes: dict[str, str]


def is_dicom(path: str | os.PathLike[str], start: bytes) -> bool:
    """Whether a file is DICOM, by its suffix or its first 132 bytes."""
    is_named = PurePath(path).suffix.lower() in DICOM_SUFFIXES
    return is_named or start[128:132] == b"DICM"


def view_term(view: str) -> str:
    """Return the usual term of a view position, such as PA, AP or LATERAL."""
    term = view.strip().upper()
    if match := _FRONTAL_VIEW.fullmatch(term):
        return match.group(1)
    return _VIEW_TERMS.get(term, term)


def read_header(path: str) -> DicomHeader:
    """Read patient and view of a DICOM radiograph without its pixels."""
    file = open_file(path)
    stream = (
        _BoundedReader(file.detach()) if isinstance(file, io.BufferedReader) else file
    )
    with stream, raise_with_path(path):
        dataset = read_dataset(
            stream, stop_before_pixels=True, specific_tags=_HEADER_ELEMENTS
        )
        check_radiograph(dataset)
        patient = read_text(dataset, "PatientID")
        return DicomHeader(
            patient="" if _PLACEHOLDER.fullmatch(patient) else patient,
            issuer=read_text(dataset, "IssuerOfPatientID"),
            study=read_text(dataset, "StudyInstanceUID"),
            institution=read_text(dataset, "InstitutionName"),
            view_position=_find_view(dataset),
            attributes={
                "age": read_text(dataset, "PatientAge"),
                "sex": read_text(dataset, "PatientSex"),
                "manufacturer": read_text(dataset, "Manufacturer"),
                "model": read_text(dataset, "ManufacturerModelName"),
                "acquisition_date": read_text(dataset, "AcquisitionDate")
                or read_text(dataset, "StudyDate"),
            },
        )


@contextmanager
def raise_with_path(path: str) -> Iterator[None]:
    """Turn errors of DICOM files into ones that name the file."""
    try:
        yield
    except RefusedError as reason:
        raise ValueError(f"{format_path(path)}: {reason}") from None
    except ImportError:
        message = f"DICOM files need pydicom; {install_command('dicom')}"
        raise ImportError(f"{format_path(path)}: {message}.") from None
    except MemoryError:
        raise
    except Exception as error:
        # pydicom parses elements on access, and raises many kinds of errors.
        message = " ".join(str(error).split())
        raise ValueError(
            f"{format_path(path)}: pydicom can't decode it ({message})"
        ) from error


def read_dataset(stream: IO[bytes], **options: Any) -> Any:
    """Read the elements of a DICOM file."""
    import pydicom

    start = stream.read(132)
    if start[128:] != b"DICM":
        # Without group 2 the transfer syntax is missing, and explicit VR may be any.
        encoding = "" if start.startswith(b"\2\0") else ", implicit_vr=True"
        raise RefusedError(
            "not a DICOM file: 'DICM' does not follow its first 128 bytes. If only "
            "this header is missing, rewrite it with pydicom.dcmread(path, force=True)"
            f".save_as(path, enforce_file_format=True{encoding})"
        )
    _check_inflated_size(stream)
    stream.seek(0)
    return pydicom.dcmread(stream, **options)


def _check_inflated_size(stream: IO[bytes]) -> None:
    """Refuse a deflated file that is too large; pydicom inflates it without limit."""
    from pydicom import filereader, uid

    meta = filereader.read_dataset(
        cast(BinaryIO, stream),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, *_: tag >> 16 != 2,
    )
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := inflater.unconsumed_tail or stream.read(_CHUNK):
        size += len(inflater.decompress(chunk, _CHUNK))
        if size > MAX_BYTES:
            raise RefusedError(f"would inflate to more than {MAX_BYTES:,} bytes")


class _BoundedReader(io.BufferedReader):
    """Reads at most the file's size, even if an element states a greater length."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _CHUNK:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def read_text(dataset: Any, element: str) -> str:
    value = dataset.get(element)
    return "" if value is None else str(value).strip()


def check_radiograph(dataset: Any) -> None:
    """Refuse files other than a projection radiograph, for presentation, in grey."""
    from pydicom import uid

    # De-identified files may state the class in the meta information only.
    meta = getattr(dataset, "file_meta", {})
    sop_class = (
        dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or None
    )
    modality = read_text(dataset, "Modality").upper()
    radiographs = (
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    )
    # A secondary capture may show anything, so its modality decides.
    captures = (None, uid.SecondaryCaptureImageStorage)
    if not (
        (sop_class in radiographs and modality in ("", *_MODALITIES))
        or (sop_class in captures and modality in _MODALITIES)
    ):
        name = "no SOP class" if sop_class is None else uid.UID(sop_class).name
        raise RefusedError(
            f"of modality {modality or 'unknown'} ({name}), not a projection "
            f"radiograph. Leave it out, or correct its Modality (0008,0060) to one of "
            f"{', '.join(_MODALITIES)}"
        )
    if (
        sop_class == uid.DigitalXRayImageStorageForProcessing
        or read_text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
    ):
        raise RefusedError(
            "raw data of the detector, for processing. Export the same exposure for "
            "presentation"
        )
    frames = read_text(dataset, "NumberOfFrames")
    if frames not in ("", "0", "1"):
        raise RefusedError(
            f"a multi-frame file of {frames} frames. Write the radiograph to a "
            "separate file"
        )
    interpretation = read_text(dataset, "PhotometricInterpretation")
    if interpretation and not interpretation.startswith("MONOCHROME"):
        raise RefusedError(
            f"a colour image ({interpretation}), such as a screenshot. Export the "
            "original in MONOCHROME1 or MONOCHROME2"
        )


def _find_view(dataset: Any) -> str:
    view = view_term(read_text(dataset, "ViewPosition"))
    if view or not dataset.get("ViewCodeSequence"):
        return view
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    item = dataset.ViewCodeSequence[0]
    value, scheme, meaning = (
        read_text(item, element)
        for element in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    own = Code(value, scheme, meaning)
    for name, term in _VIEW_CODES.items():
        # pydicom equates SRT codes with their successors in SCT.
        if getattr(codes.CID4010, name) == own:
            return term
    return view_term(meaning)
