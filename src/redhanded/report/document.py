"""What both renderings of a report are made of, and the writing of its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from redhanded.choice import Choice, choose_settings
from redhanded.report import paper, wording
from redhanded.report.drawings import Drawing, comparison, figure2, pictures, protocol_words, slug
from redhanded.report.findings import Tally, caveats, tally
from redhanded.report.markdown import escape_markdown
from redhanded.report.palette import THEMED
from redhanded.report.records import Records, read_run
from redhanded.report.sheet import results_csv
from redhanded.report.tables import PIXELS, Section, Table, build_sections
from redhanded.results import Pixels, SetCard

PIXELS_MEAN = {
    "float32": "Images as the attack left them",
    "uint8": "Images rounded to 256 levels, success checked again after rounding",
}


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
    tally: Tally
    comparison: Drawing
    tables: list[TablePart]

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure of the section."""
        return [self.comparison, *(drawing for part in self.tables for drawing in part.drawings)]


def write_report(run: Path) -> Path:
    """Write RUN/report from the records of RUN alone; returns the path of report.html."""
    records = read_run(run)
    sections = build_sections(records)
    parts = [_section_part(section) for section in sections]
    first = figure2(records.attacked) if records.attacked else None
    context = {**_context(records, parts), "figure2": first}
    environment = make_environment()
    report = run / "report"
    drawings = [drawing for part in parts for drawing in part.drawings]
    _write_figures(report / "figures", [first, *drawings] if first else drawings)
    for name in ("report.md", "report.html"):
        text = environment.get_template(f"{name}.j2").render(context)
        (report / name).write_text(text, encoding="utf-8", newline="\n")
    (report / "results.csv").write_text(results_csv(sections), encoding="utf-8", newline="\n")
    return report / "report.html"


def _section_part(section: Section) -> SectionPart:
    words = section.protocol
    parts = [TablePart(table, slug(table.key, *words), pictures(table)) for table in section.tables]
    return SectionPart(section, slug("protocol", *words), tally(section), comparison(section), parts)


def _context(records: Records, parts: list[SectionPart]) -> dict[str, Any]:
    run = records.run
    return {
        "study": parts[0].section.cells[0].result.study,
        "sources": wording.listed(sorted({part.section.protocol.source for part in parts})),
        "run": run,
        "size": wording.flatten(run.study.get("size", {})),
        "caveats": caveats(records),
        "victims": records.victims,
        "weak": records.weak,
        "sets": _test_sets(records),
        "choices": [(pixels, _choices(records, pixels)) for pixels in PIXELS],
        "sections": parts,
        "pixels_mean": PIXELS_MEAN,
        "citation": paper.CITATION,
        "link": paper.LINK,
        "theme": list(THEMED.values()),
    }


def _test_sets(records: Records) -> list[tuple[str, list[SetCard]]]:
    cards = [card for card in records.sets if card.split == "test"]
    names = dict.fromkeys(card.victim for card in cards)
    return [(name, [card for card in cards if card.victim == name]) for name in names]


def _choices(records: Records, pixels: Pixels) -> list[Choice]:
    cards = [card for card in records.sets if card.split == "train"]
    chosen = choose_settings(cards, pixels) if cards else {}
    return [chosen[key] for key in sorted(chosen)]


def _write_figures(folder: Path, drawings: list[Drawing]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.png"), *folder.glob("*.svg")]:
        old.unlink()
    for drawing in drawings:
        (folder / f"{drawing.name}.png").write_bytes(drawing.png)
        (folder / f"{drawing.name}.svg").write_bytes(drawing.svg)


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
        wording.bounds,
        wording.signed,
        wording.p_text,
        wording.minutes,
        wording.short,
    )
    environment.filters |= {function.__name__: function for function in (*filters, wording.count, protocol_words)}
    environment.filters["md"] = escape_markdown
    return environment
