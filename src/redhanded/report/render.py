"""What both renderings of a report are made of, and the writing of its files."""

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from redhanded.core import whole_folder, write_record
from redhanded.data import AS_LEFT, PIXELS
from redhanded.engine import PACKED, pack_records
from redhanded.errors import RunError
from redhanded.report import paper
from redhanded.report import text as wording
from redhanded.report.drawings import Drawing, comparison, figure2, pictures, protocol_words, slug
from redhanded.report.findings import caveats, tally
from redhanded.report.palette import THEMED
from redhanded.report.run import Records, read_run
from redhanded.report.sheet import results_csv
from redhanded.report.tables import Section, Table, build_sections
from redhanded.report.text import escape_markdown
from redhanded.sets import GALLERY_FILE
from redhanded.studies import choose_settings


@dataclass(frozen=True)
class TablePart:
    """A table with its figures."""

    table: Table
    anchor: str
    drawings: list[Drawing]


@dataclass(frozen=True)
class SectionPart:
    """The tables and figures of one protocol."""

    section: Section
    anchor: str
    tally: str  # what its numbers say
    comparison: Drawing
    tables: list[TablePart]

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure of the section."""
        return [self.comparison, *(drawing for part in self.tables for drawing in part.drawings)]


def write_report(run: Path) -> Path:
    """Write RUN/report from the records of RUN alone; returns the path of report.html."""
    report = run / "report"
    _write(read_run(run), report, pages=("report.md", "report.html"), sheet="results.csv")
    return report / "report.html"


def keep_run(run: Path, out: Path) -> Path:
    """Write into the folder `out` what is kept of a run: its card, its packed records, figure 2 and the report.

    Of the report only what is small: report.md, its figures as PNG and the sheet, compressed. What an earlier call left
    in `out` is replaced, also where `out` is `run`. Raises RunError where `out` holds anything else, or cannot be
    written. Returns the path of report.md.
    """
    records, packed = read_run(run), pack_records(run)
    if out.exists() and not (out / PACKED).is_file():
        raise RunError(f"expected a new folder or a kept run at {out}, found another; name a new one")
    try:
        with whole_folder(out) as part:
            _write(records, part / "report", pages=("report.md",), sheet="results.csv.gz")
            (part / PACKED).write_bytes(packed)
            write_record(records.run, part / "run.json")
            if records.attacked:
                shutil.copyfile(run / GALLERY_FILE, part / GALLERY_FILE)
    except OSError as error:
        raise RunError(f"expected to write {out}, found: {error.strerror or error}") from None
    return out / "report" / "report.md"


def _write(records: Records, report: Path, *, pages: Sequence[str], sheet: str) -> None:
    """Write pages, their figures (a page of HTML wants SVG too) and the sheet of all numbers."""
    sections = build_sections(records)
    parts = [_section_part(section) for section in sections]
    first = figure2(records.attacked) if records.attacked else None
    context = {**_context(records, parts), "figure2": first, "sheet": sheet}
    environment = make_environment()
    figures = report / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for old in [*figures.glob("*.png"), *figures.glob("*.svg")]:
        old.unlink()
    for drawing in [*([first] if first else []), *(drawing for part in parts for drawing in part.drawings)]:
        (figures / f"{drawing.name}.png").write_bytes(drawing.png)
        if "report.html" in pages:
            (figures / f"{drawing.name}.svg").write_bytes(drawing.svg)
    for name in pages:
        text = environment.get_template(f"{name}.j2").render(context)
        (report / name).write_text(text, encoding="utf-8", newline="\n")
    numbers = results_csv(sections).encode()
    (report / sheet).write_bytes(gzip.compress(numbers, mtime=0) if sheet.endswith(".gz") else numbers)


def _section_part(section: Section) -> SectionPart:
    words = section.protocol
    parts = [TablePart(table, slug(table.key, *words), pictures(table)) for table in section.tables]
    return SectionPart(section, slug("protocol", *words), tally(section), comparison(section), parts)


def _context(records: Records, parts: list[SectionPart]) -> dict[str, Any]:
    run = records.run
    tested = [card for card in records.sets if card.split == "test"]
    victims = dict.fromkeys(card.victim for card in tested)
    choices = {name: choose_settings(records.sets, name) for name in records.pixels}
    return {
        "study": parts[0].section.cells[0].result.study,
        "sources": wording.listed(sorted({part.section.protocol.source for part in parts})),
        "run": run,
        "size": wording.flatten(run.study.get("size", {})),
        "caveats": caveats(records),
        "victims": records.victims,
        "weak": records.weak,
        "sets": [(name, [card for card in tested if card.victim == name]) for name in victims],
        "choices": [(name, [chosen[key] for key in sorted(chosen)]) for name, chosen in choices.items()],
        "sections": parts,
        "pixels": {name: PIXELS[name] for name in records.pixels},
        "as_left": AS_LEFT,
        "citation": paper.CITATION,
        "link": paper.LINK,
        "theme": list(THEMED.values()),
    }


def make_environment() -> Environment:
    """Templates, with the words and numbers of `wording` as filters."""
    environment = Environment(
        loader=PackageLoader("redhanded.report"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (
        wording.percent,
        wording.listed,
        wording.sentence,
        wording.bounds,
        wording.signed,
        wording.p_text,
        wording.minutes,
        wording.short,
    )
    environment.filters |= {function.__name__: function for function in (*filters, wording.count, protocol_words)}
    environment.filters["md"] = escape_markdown
    return environment
