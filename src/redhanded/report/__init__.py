"""From the records of a run to its report: pages, figures and a sheet of all numbers."""

from redhanded.report.document import write_report
from redhanded.report.terminal import main_table

__all__ = ["main_table", "write_report"]
