"""Reports of evaluations and audits, each one HTML file."""

from skcovid.report._report import write_report

__all__ = ["write_report"]
