from .palette import THEMED
from .render import keep_run, render_page, write_report
from .sheet import load_axes, load_results
from .summary import write_summary
from .terminal import main_table
from .text import ABSENT, count, escape_markdown, percent, short

__all__ = [
    "ABSENT",
    "THEMED",
    "count",
    "escape_markdown",
    "keep_run",
    "load_axes",
    "load_results",
    "main_table",
    "percent",
    "render_page",
    "short",
    "write_report",
    "write_summary",
]
