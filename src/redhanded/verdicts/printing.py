"""Printers of verdicts: a table, JSON lines or CSV."""

import csv
import sys
from collections.abc import Callable
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from redhanded.errors import printable
from redhanded.verdicts.verdict import Finding, Verdict

ALTERNATIVES = 3  # shown for each dimension; --json has all
_GAP = "  "  # between columns
_BOLD, _PLAIN, _DIM = Style(bold=True), Style.null(), Style(dim=True)
_STYLES = (_BOLD, _PLAIN, _PLAIN, _DIM, _DIM)  # of the columns of a table


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print, for each dimension, the likeliest names, how sure, what else is not ruled out, the likelihood ratio.

    The columns are laid out here: a table of rich's takes longer than all else that is done for one image of many.
    """
    condition = verdict.condition
    count = f", {verdict.images} images of one actor" if verdict.images > 1 else ""
    heading = f"{printable(verdict.name)} ({condition.file_format}, {condition.form}, {verdict.knowledge}{count})"
    heads = ("", verdict.standing, "in words", "nor ruled out", "LR")
    rows = [heads, *((dimension, *_row(finding)) for dimension, finding in verdict.findings.items())]
    filled = [place for place in range(len(heads)) if any(row[place] for row in rows[1:])]
    styles = [_STYLES[place] for place in filled]
    cells = [[row[place].split("\n") for place in filled] for row in rows]
    widths = [max(cell_len(line) for cell in column for line in cell) for column in zip(*cells, strict=True)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > console.width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    before = [heading, *([f"unknown: {verdict.unknown}"] if verdict.unknown else [])]
    segments = [Segment(f"{line}\n") for line in _folded(before, console.width, console)]
    for row in cells:
        folded = [_folded(cell, width, console) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*folded, fillvalue=""):
            *padded, last = zip(line, widths, styles, strict=True)
            segments += [Segment(set_cell_size(text, width) + _GAP, style) for text, width, style in padded]
            segments += [Segment(last[0], last[2]), Segment.line()]
    remarks = [f"estimate: {', '.join(verdict.numbers)}"] if verdict.numbers else []
    remarks += [f"condition: {remark}" for remark in condition.remarks]
    segments += [Segment(f"{line}\n") for line in _folded(remarks, console.width, console)]
    console.print(Segments([*segments, Segment.line()]), end="", crop=False)


def _folded(lines: list[str], width: int, console: Console) -> list[str]:
    """The lines, broken between words, or within one that is too long, to fit a number of columns."""
    fitting = [
        [line] if cell_len(line) <= width else Text(line).wrap(console, width, overflow="fold") for line in lines
    ]
    return [str(part) for parts in fitting for part in parts]


def _row(finding: Finding) -> tuple[str, ...]:
    """The cells of a dimension; a share is rounded, but never to a certainty."""
    best = finding.ranked[0]
    shares = [one.probability for one in finding.ranked[:ALTERNATIVES]]
    percents = ["<1%" if share < 0.005 else ">99%" if share > 0.995 else f"{share:.0%}" for share in shares]
    likeliest = "\n".join(f"{percent:>4} {one.name}" for percent, one in zip(percents, finding.ranked, strict=False))
    others = [name for name in finding.prediction_set if name != best.name]
    more = f" and {len(others) - ALTERNATIVES} more" if len(others) > ALTERNATIVES else ""
    ruled = "\n".join(others[:ALTERNATIVES]) + more
    ratio = f"{finding.likelihood_ratio:.3g}" if finding.likelihood_ratio is not None else ""
    return likeliest, best.words, ruled if finding.prediction_set else "unlike all of them", ratio


Show = Callable[[Verdict], object]
CSV_COLUMNS = (
    *("name", "sha256", "knowledge", "pixels", "dimension", "likeliest", "probability", "words"),
    *("prediction_set", "likelihood_ratio", "unknown", "resembles_most", "bundle"),
)


def _as_table() -> Show:
    console = Console(highlight=False)
    return lambda verdict: print_verdict(verdict, console)


def _as_json() -> Show:
    return lambda verdict: sys.stdout.write(verdict.model_dump_json() + "\n")


def _as_csv() -> Show:
    """A printer of a row for each dimension; what a spreadsheet would run as a formula is quoted.

    Where the verdict says unknown, no name stands in the column of likeliest ones.
    """
    writer = csv.writer(sys.stdout)
    writer.writerow(CSV_COLUMNS)

    def quoted(text: str) -> str:
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

    def show(verdict: Verdict) -> None:
        shared = (quoted(verdict.name), " ".join(verdict.sha256), verdict.knowledge, verdict.condition.pixels)
        for dimension, finding in verdict.findings.items():
            best, names = finding.ranked[0], quoted(" ".join(finding.prediction_set))
            answer = (quoted(best.name), best.probability, best.words)
            likeliest, resembled = (("", "", ""), quoted(best.name)) if verdict.unknown else (answer, "")
            rest = (names, finding.likelihood_ratio, verdict.unknown, resembled, quoted(verdict.bundle))
            writer.writerow((*shared, dimension, *likeliest, *rest))

    return show


PRINTERS: dict[str, Callable[[], Show]] = {"table": _as_table, "json": _as_json, "csv": _as_csv}
