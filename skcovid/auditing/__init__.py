"""The audit: evidence that a score rests on something other than the disease."""

from skcovid.auditing._audit import audit
from skcovid.auditing._baseline import MAX_RATIO, shortcut_ratio
from skcovid.auditing._check import AuditCheck, AuditFigure, VisiblePoint
from skcovid.auditing._file_properties import FileProperties, read_properties
from skcovid.auditing._labels import DisputedLabel
from skcovid.auditing._report import AuditReport
from skcovid.auditing._visible_area import blank_centre, visible_share

__all__ = [
    "MAX_RATIO",
    "AuditCheck",
    "AuditFigure",
    "AuditReport",
    "DisputedLabel",
    "FileProperties",
    "VisiblePoint",
    "audit",
    "blank_centre",
    "read_properties",
    "shortcut_ratio",
    "visible_share",
]
