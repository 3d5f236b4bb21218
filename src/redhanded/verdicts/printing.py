"""How verdicts are printed: a table, JSON lines or CSV."""

import csv
import sys
from collections.abc import Callable

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from redhanded.verdicts.verdict import Finding, Verdict

ALTERNATIVES = 3  # shown for each dimension; --json has all


def verdict_table(verdict: Verdict) -> Group:
    """Dimension by dimension: the likeliest names, how sure, what else cannot be ruled out, the likelihood ratio."""
    table = Table(box=None, pad_edge=False)
    for name, style in (("", "bold"), ("likeliest", ""), ("in words", ""), ("nor ruled out", "dim"), ("LR", "dim")):
        table.add_column(name, style=style, overflow="fold")
    for dimension, finding in verdict.findings.items():
        table.add_row(Text(dimension), *map(Text, _row(finding)))
    return Group(Text(_heading(verdict)), table, *(Text(line) for line in _remarks(verdict)), "")


def _row(finding: Finding) -> tuple[str, ...]:
    best = finding.ranked[0]
    likeliest = "\n".join(f"{_percent(one.probability):>4} {one.name}" for one in finding.ranked[:ALTERNATIVES])
    others = [name for name in finding.prediction_set if name != best.name]
    more = f" and {len(others) - ALTERNATIVES} more" if len(others) > ALTERNATIVES else ""
    ruled = "\n".join(others[:ALTERNATIVES]) + more
    ratio = f"{finding.likelihood_ratio:.3g}" if finding.likelihood_ratio is not None else ""
    return likeliest, best.words, ruled if finding.prediction_set else "unlike all of them", ratio


def _percent(probability: float) -> str:
    """Rounded, but never to a certainty."""
    return "<1%" if probability < 0.005 else ">99%" if probability > 0.995 else f"{probability:.0%}"


def _heading(verdict: Verdict) -> str:
    condition = verdict.condition
    count = f", {verdict.images} images of one actor" if verdict.images > 1 else ""
    name = "".join(char if char.isprintable() else "?" for char in verdict.name)  # a name may hold a terminal's codes
    return f"{name} ({condition.file_format}, {condition.form}, {verdict.knowledge}{count})"


def _remarks(verdict: Verdict) -> list[str]:
    estimates = [
        f"{one.parameter} about {one.value:.3g} ({one.low:.3g} to {one.high:.3g})" for one in verdict.estimates
    ]
    lines = [f"estimate: {', '.join(estimates)}"] if estimates else []
    lines += [f"condition: {remark}" for remark in verdict.condition.remarks]
    return [*lines, *([f"unknown: {verdict.unknown}"] if verdict.unknown else [])]


Show = Callable[[Verdict], object]
CSV_COLUMNS = (
    *("name", "sha256", "knowledge", "pixels", "dimension", "likeliest", "probability", "words"),
    *("prediction_set", "likelihood_ratio", "unknown"),
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
            _quoted(" ".join(finding.prediction_set)),
            finding.likelihood_ratio,
            verdict.unknown,
        ]
        for dimension, finding in verdict.findings.items()
    ]


def _quoted(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
