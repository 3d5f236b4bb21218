"""From the records of a run to its report: pages, figures and a sheet of all numbers."""

from redhanded.report.document import keep_run, write_report
from redhanded.report.terminal import main_table

__all__ = ["keep_run", "main_table", "write_report"]
