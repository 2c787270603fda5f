"""DICOM files: whether they hold a radiograph, and of whom and from which side."""

import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, BinaryIO, cast

from skcovid.reading._files import open_file, shown
from skcovid.reading._image_headers import MAX_BYTES, RefusedError

__all__ = [
    "DICOM_SUFFIXES",
    "FRONTAL_VIEWS",
    "DicomHeader",
    "check_radiograph",
    "is_dicom",
    "naming",
    "read_dataset",
    "read_header",
    "view_term",
]

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
    **dict.fromkeys(("ANTEROPOSTERIOR", "ANTERO-POSTERIOR", "AP SUPINE"), "AP"),
    **dict.fromkeys(("POSTEROANTERIOR", "POSTERO-ANTERIOR"), "PA"),
}
# What de-identification leaves in the place of a patient's number; only zeros, crosses
# and punctuation stand for nobody, either.
_NOBODY = re.compile(
    r"[\W_0x]*|anon|anonymi[sz]ed|anonymous|de[- _]?identified|n[/.]?a|none|no[ _]?id"
    r"|not[ _]known|null|redacted|removed|unknown",
    re.IGNORECASE,
)
_PIECE = 2**20
_HEADER_ELEMENTS = [
    *("SOPClassUID", "Modality", "PresentationIntentType", "NumberOfFrames"),
    *("PhotometricInterpretation", "PatientID", "IssuerOfPatientID"),
    *("StudyInstanceUID", "InstitutionName", "ViewPosition", "ViewCodeSequence"),
]


@dataclass(frozen=True)
class DicomHeader:
    """Whom and what a DICOM file shows; an empty string is what it does not say."""

    patient: str
    issuer: str
    study: str
    institution: str
    view_position: str


def is_dicom(path: str | os.PathLike, start: bytes) -> bool:
    """Whether a file is in the DICOM format, by its suffix or its beginning."""
    is_named = PurePath(path).suffix.lower() in DICOM_SUFFIXES
    return is_named or start[128:132] == b"DICM"


def view_term(view: str) -> str:
    """Bring a view position to the term used here."""
    term = view.strip().upper()
    return _VIEW_TERMS.get(term, term)


def read_header(path: str) -> DicomHeader:
    """Read what a radiograph in the DICOM format says of patient and view."""
    with _open_within(path) as stream, naming(path):
        dataset = read_dataset(
            stream,
            stop_before_pixels=True,
            specific_tags=_HEADER_ELEMENTS,
        )
        check_radiograph(dataset)
        patient = _text(dataset, "PatientID")
        return DicomHeader(
            patient="" if _NOBODY.fullmatch(patient) else patient,
            issuer=_text(dataset, "IssuerOfPatientID"),
            study=_text(dataset, "StudyInstanceUID"),
            institution=_text(dataset, "InstitutionName"),
            view_position=_find_view(dataset),
        )


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn whatever is raised within into an error that names the file."""
    try:
        yield
    except RefusedError as reason:
        raise ValueError(f"{shown(path)}: {reason}") from None
    except ImportError:
        raise ImportError(
            f"{shown(path)}: DICOM files need pydicom; pip install 'skcovid[dicom]'."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # Broken elements are met wherever they are first looked at.
        message = " ".join(str(error).split())
        raise ValueError(
            f"{shown(path)}: pydicom can't decode it ({message})"
        ) from error


def read_dataset(stream: IO[bytes], **options: Any) -> Any:
    """Read the elements of a DICOM file."""
    import pydicom

    if stream.read(132)[128:] != b"DICM":
        raise RefusedError(
            "not a DICOM file, as 'DICM' does not follow its first 128 bytes. If it is "
            "one without the header, rewrite it: pydicom.dcmread(path, force=True)"
            ".save_as(path, enforce_file_format=True)"
        )
    _check_inflated_size(stream)
    stream.seek(0)
    return pydicom.dcmread(stream, **options)


def _check_inflated_size(stream: IO[bytes]) -> None:
    """Inflate a deflated file piece by piece; pydicom does it all at once."""
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
    while piece := inflater.unconsumed_tail or stream.read(_PIECE):
        size += len(inflater.decompress(piece, _PIECE))
        if size > MAX_BYTES:
            raise RefusedError(
                f"would inflate to more than {MAX_BYTES:,} bytes; no radiograph "
                "is that large"
            )


def _open_within(path: str) -> IO[bytes]:
    file = open_file(path)
    if isinstance(file, io.BufferedReader):
        return _WithinFile(file.detach())
    return file


class _WithinFile(io.BufferedReader):
    """Sets no more memory aside than the file has bytes, whatever length it states."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _PIECE:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def _text(dataset: Any, element: str) -> str:
    value = dataset.get(element)
    return "" if value is None else str(value).strip()


def check_radiograph(dataset: Any) -> None:
    """Let only single grey projection radiographs pass that are meant to be seen."""
    from pydicom import uid

    # De-identified files may have kept the class in the file's meta information alone.
    meta = getattr(dataset, "file_meta", {})
    sop_class = dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    modality = _text(dataset, "Modality").upper()
    name = "no SOP class" if sop_class is None else uid.UID(sop_class).name
    radiographs = (
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    )
    # A secondary capture may be of anything: there the modality has to tell.
    captures = (None, uid.SecondaryCaptureImageStorage)
    if not (
        (sop_class in radiographs and modality in ("", *_MODALITIES))
        or (sop_class in captures and modality in _MODALITIES)
    ):
        raise RefusedError(
            f"not a projection radiograph, but of modality "
            f"{modality or 'unknown'} ({name}). Radiographs are of modality "
            f"{', '.join(_MODALITIES)}; leave the file out, or correct its Modality "
            "(0008,0060)"
        )
    if (
        sop_class == uid.DigitalXRayImageStorageForProcessing
        or _text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
    ):
        raise RefusedError(
            "raw data of the detector, for processing. Export the image for "
            "presentation of the same exposure"
        )
    _check_one_grey_frame(dataset)


def _check_one_grey_frame(dataset: Any) -> None:
    frames = _text(dataset, "NumberOfFrames")
    if frames not in ("", "0", "1"):
        raise RefusedError(
            f"a multi-frame file of {frames} frames, of which none is the "
            "radiograph more than the others. Write the frame that is to be read to a "
            "file of its own"
        )
    interpretation = _text(dataset, "PhotometricInterpretation")
    if interpretation and not interpretation.startswith("MONOCHROME"):
        raise RefusedError(
            f"a colour image ({interpretation}), as screenshots are, not grey "
            "levels of a detector. Export the original, in MONOCHROME1 or MONOCHROME2"
        )


def _find_view(dataset: Any) -> str:
    view = view_term(_text(dataset, "ViewPosition"))
    if view or not dataset.get("ViewCodeSequence"):
        return view
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    item = dataset.ViewCodeSequence[0]
    value, scheme, meaning = (
        _text(item, element)
        for element in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    # Context group "DX View"; pydicom takes SRT codes for their successors in SCT.
    views = codes.CID4010
    terms = [
        (views.AnteroPosterior, "AP"),
        (views.PosteroAnterior, "PA"),
        (views.Frontal, "FRONTAL"),
        (views.LateralProjection, "LATERAL"),
        (views.LeftLateral, "LATERAL"),
        (views.RightLateral, "LATERAL"),
    ]
    own = Code(value, scheme, meaning)
    known = (term for code, term in terms if code == own)
    return next(known, view_term(meaning))
