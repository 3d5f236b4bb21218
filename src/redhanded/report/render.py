"""The rendering of a report as Markdown and HTML, and the writing of its files."""

import gzip
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from redhanded.core import whole_folder, write_record
from redhanded.data import AS_LEFT, PIXELS
from redhanded.engine import PACKED, pack_records
from redhanded.errors import RunError
from redhanded.report import paper
from redhanded.report import text as wording
from redhanded.report.axes import FATES, AxisSection, best_sections, build_axis_sections, logarithmic
from redhanded.report.figures import Drawing, axis_pictures, comparison, figure2, pictures, protocol_words, slug
from redhanded.report.palette import THEMED
from redhanded.report.run import Records, read_run
from redhanded.report.sheet import axes_csv, results_csv
from redhanded.report.tables import Section, Table, build_sections
from redhanded.sets import GALLERY_FILE
from redhanded.studies import choose_settings


class AxisPart(NamedTuple):
    """What one attributor answered along the axes, and the figures of it."""

    section: AxisSection
    anchor: str
    tally: str  # what its numbers say
    drawings: list[Drawing]


class SectionPart(NamedTuple):
    """The tables and figures of one protocol."""

    section: Section
    anchor: str
    tally: str  # what its numbers say
    comparison: Drawing
    tables: list[tuple[Table, str, list[Drawing]]]  # with their anchors and figures


def write_report(run: Path) -> Path:
    """Write RUN/report from the records of RUN alone; returns the path of report.html."""
    report = run / "report"
    _write(read_run(run), report, pages=("report.md", "report.html"), packed=False)
    return report / "report.html"


def keep_run(run: Path, out: Path) -> Path:
    """Write into the folder `out` what is kept of a run: its card, its packed records, figure 2 and the report.

    Of the report only what is small: report.md, its figures as PNG and the sheet, compressed. What an earlier call left
    in `out` is replaced, also where `out` is `run`. Raises RunError where `out` holds anything else, or cannot be
    written. Returns the path of report.md.
    """
    records, line_file = read_run(run), pack_records(run)
    if out.exists() and not (out / PACKED).is_file():
        raise RunError(f"expected a new folder or a kept run at {out}, found another; name a new one")
    try:
        with whole_folder(out) as part:
            _write(records, part / "report", pages=("report.md",), packed=True)
            (part / PACKED).write_bytes(line_file)
            write_record(records.run, part / "run.json")
            if records.attacked:
                shutil.copyfile(run / GALLERY_FILE, part / GALLERY_FILE)
    except OSError as error:
        raise RunError(f"expected to write {out}, found: {error.strerror or error}") from None
    return out / "report" / "report.md"


def _write(records: Records, report: Path, *, pages: Sequence[str], packed: bool) -> None:
    """Write pages, their figures (a page of HTML wants SVG too) and the sheets of all numbers, packed if so asked."""
    sections, axis_sections = build_sections(records), build_axis_sections(records)
    written = {"results.csv": results_csv(sections), "axes.csv": axes_csv(records.axes)}
    sheets = {f"{name}.gz" if packed else name: text for name, text in written.items() if text}
    parts = [
        SectionPart(
            section,
            anchor=slug("protocol", *section.protocol),
            tally=tally(section),
            comparison=comparison(section),
            tables=[(table, slug(table.key, *table.protocol), pictures(table)) for table in section.tables],
        )
        for section in sections
    ]
    drawn, scales = best_sections(axis_sections), logarithmic(records.sets)
    axes = [
        AxisPart(
            section,
            anchor=slug("axes", *section.protocol),
            tally=axis_tally(section),
            drawings=axis_pictures(section, scales) if section in drawn else [],
        )
        for section in axis_sections
    ]
    first = figure2(records.attacked) if records.attacked else None
    tested = [card for card in records.sets if card.split == "test"]
    choices = {name: choose_settings(records.sets, name) for name in records.pixels}
    context = {
        "study": records.study,
        "sources": wording.listed(records.sources),
        "run": records.run,
        "size": wording.flatten(records.run.study.get("size", {})),
        "caveats": caveats(records),
        "victims": records.victims,
        "weak": records.weak,
        "sets": [(name, list(cards)) for name, cards in groupby(tested, key=lambda card: card.victim)],
        "choices": [(name, [chosen[key] for key in sorted(chosen)]) for name, chosen in choices.items()],
        "sections": parts,
        "axes": axes,
        "fates": FATES,
        "summaries": {"worst": min, "mean": fmean},
        "pixels": {name: PIXELS[name] for name in records.pixels},
        "as_left": AS_LEFT,
        "citation": paper.CITATION,
        "link": paper.LINK,
        "theme": list(THEMED.values()),
        "figure2": first,
        "sheets": list(sheets),
    }
    figures = report / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for old in [*figures.glob("*.png"), *figures.glob("*.svg")]:
        old.unlink()
    drawings = [drawing for part in parts for _, _, below in part.tables for drawing in (part.comparison, *below)]
    drawings += [drawing for part in axes for drawing in part.drawings]
    for drawing in [first, *drawings] if first else drawings:
        (figures / f"{drawing.name}.png").write_bytes(drawing.png)
        if "report.html" in pages:
            (figures / f"{drawing.name}.svg").write_bytes(drawing.svg)
    environment = make_environment()
    for name in pages:
        text = environment.get_template(f"{name}.j2").render(context)
        (report / name).write_text(text, encoding="utf-8", newline="\n")
    for name, text in sheets.items():
        numbers = text.encode()
        (report / name).write_bytes(gzip.compress(numbers, mtime=0) if packed else numbers)


def tally(section: Section) -> str:
    """Say in a sentence how many cells were measured, beat chance and exceed the paper's numbers."""
    cells = [cell for cell in section.cells if cell.measured]
    printed = [(cell.result.accuracy or 0.0, cell.paper) for cell in cells if cell.paper is not None]
    above = sum(round(accuracy, 2) > number for accuracy, number in printed)  # to the two decimals that the paper has
    unmeasured, weak = len(section.cells) - len(cells), sum(bool(cell.weak) for cell in cells)
    significant = sum(cell.significant for cell in cells)
    parts = [f"{significant} of {len(cells)} measured cells beat chance after Holm's correction"]
    if printed:
        parts.append(f"{above} of the {len(printed)} beside a printed number are above the paper's")
    if unmeasured:
        parts.append(f"{unmeasured} gave no number (collapsed or too few images)")
    if weak:
        parts.append(f"{weak} rest on a weak victim")
    return "; ".join(parts)


def axis_tally(section: AxisSection) -> str:
    """Say how often kind and family are named rightly, or surely wrongly, on `known` and the hardest axis."""
    known, hardest = section.known, section.hardest
    parts = []
    for line in (known, hardest) if known and hardest is not known else (hardest,):
        recalls = [(name, line.recalls[name].each) for name in ("kind", "family") if name in line.recalls]
        named = [f"{name} {wording.averaged(each)} %" for name, each in recalls]
        wrong = f"sure and wrong {wording.averaged(line.fates['sure_and_wrong'])} %"
        parts.append(f"{line.title}: {wording.listed([*named, wrong])}")
    return "; ".join(parts)


def caveats(records: Records) -> list[str]:
    """List what a reader must know before the first table; nothing for a finished run at the paper's size."""
    sentences = []
    if not records.run.finished:
        sentences.append("This run has not finished: cells that are missing below were not asked yet.")
    for source in sorted({result.source for result in records.results}):
        printed = paper.SOURCES.get(source, source)
        if printed != source:
            sentences.append(f"The paper's numbers are for {printed}; the images of this run are {source}.")
    narrow = [f"{card.name} ({card.width:g})" for card in records.victims if card.width < 1]
    if narrow:
        sentences.append(
            f"Victims narrower than the full networks, by width factor: {wording.listed(narrow)}; "
            "the paper's numbers come from other networks than these."
        )
    weak = wording.listed([card.name for card in records.victims if card.too_weak])
    if weak:
        sentences.append(f"Weak victims, which misread too many clean images for an attack to say much: {weak}.")
    return sentences


def render_page(template: str, context: Mapping[str, object]) -> str:
    """Render a page that is no report of a run in the style of one, from a template of this room."""
    return make_environment().get_template(template).render({"theme": list(THEMED.values()), **context})


def make_environment() -> Environment:
    """Make the templates' environment, with the words and numbers of `wording` as filters."""
    environment = Environment(
        loader=PackageLoader("redhanded.report"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = (
        "percent",
        "listed",
        "sentence",
        "bounds",
        "signed",
        "lost",
        "averaged",
        "p_text",
        "minutes",
        "short",
        "count",
    )
    environment.filters |= {name: getattr(wording, name) for name in names}
    environment.filters |= {"protocol_words": protocol_words, "md": wording.escape_markdown}
    return environment
