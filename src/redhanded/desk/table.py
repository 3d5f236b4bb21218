"""A verdict for a terminal."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from redhanded.desk.records import Finding, Verdict

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
    others = [name for name in finding.not_told_apart if name != best.name]
    more = f" and {len(others) - ALTERNATIVES} more" if len(others) > ALTERNATIVES else ""
    ruled = "\n".join(others[:ALTERNATIVES]) + more
    ratio = f"{finding.likelihood_ratio:.3g}" if finding.likelihood_ratio is not None else ""
    return likeliest, best.words, ruled if finding.not_told_apart else "unlike all of them", ratio


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
