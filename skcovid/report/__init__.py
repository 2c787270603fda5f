"""Reports of evaluations and audits: one HTML file, or a folder for reviewers."""

from skcovid.report._headline import headline
from skcovid.report._report import write_report
from skcovid.report._reviewer_pack import write_reviewer_pack

__all__ = ["headline", "write_report", "write_reviewer_pack"]
