from .palette import THEMED
from .render import keep_run, write_report
from .summary import write_summary
from .terminal import main_table
from .text import ABSENT, count, escape_markdown, percent, short

__all__ = [
    "ABSENT",
    "THEMED",
    "count",
    "escape_markdown",
    "keep_run",
    "main_table",
    "percent",
    "short",
    "write_report",
    "write_summary",
]
