"""Verdicts on standard output: a table for people, JSON lines and CSV for programs."""

import csv
import sys
from collections.abc import Callable

from rich.console import Console

from redhanded.desk.records import Verdict
from redhanded.desk.table import verdict_table

Show = Callable[[Verdict], object]
CSV_COLUMNS = (
    *("name", "sha256", "knowledge", "pixels", "dimension", "likeliest", "probability", "words"),
    *("not_told_apart", "likelihood_ratio", "unknown"),
)


def _as_table() -> Show:
    console = Console(highlight=False)
    return lambda verdict: console.print(verdict_table(verdict))


def _as_json() -> Show:
    return lambda verdict: sys.stdout.write(verdict.model_dump_json() + "\n")


def _as_csv() -> Show:
    writer = csv.writer(sys.stdout)
    writer.writerow(CSV_COLUMNS)
    return lambda verdict: writer.writerows(csv_rows(verdict))


PRINTERS: dict[str, Callable[[], Show]] = {"table": _as_table, "json": _as_json, "csv": _as_csv}


def csv_rows(verdict: Verdict) -> list[list[object]]:
    """One row for each dimension; a leading character that a spreadsheet would run as a formula is quoted."""
    shared = [_quoted(verdict.name), " ".join(verdict.sha256), verdict.knowledge, verdict.condition.pixels]
    return [
        [
            *shared,
            dimension,
            _quoted(finding.ranked[0].name),
            finding.ranked[0].probability,
            finding.ranked[0].words,
            _quoted(" ".join(finding.not_told_apart)),
            finding.likelihood_ratio,
            verdict.unknown,
        ]
        for dimension, finding in verdict.findings.items()
    ]


def _quoted(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
