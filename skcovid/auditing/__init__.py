"""The audit: what a score may rest on instead of the disease.

The function is `skcovid.audit`; a package of that name would hide it.
"""

from skcovid.auditing._audit import audit
from skcovid.auditing._blanked import blank_centre, visible_share
from skcovid.auditing._check import AuditCheck, AuditFigure, AuditTable, VisiblePoint
from skcovid.auditing._headers import FileProperties, read_properties
from skcovid.auditing._ratio import MAX_RATIO, shortcut_ratio
from skcovid.auditing._report import AuditReport

__all__ = [
    "MAX_RATIO",
    "AuditCheck",
    "AuditFigure",
    "AuditReport",
    "AuditTable",
    "FileProperties",
    "VisiblePoint",
    "audit",
    "blank_centre",
    "read_properties",
    "shortcut_ratio",
    "visible_share",
]
