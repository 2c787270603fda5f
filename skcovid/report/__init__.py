"""One HTML file with what an evaluation and an audit found."""

from skcovid.report._report import write_report

__all__ = ["write_report"]
