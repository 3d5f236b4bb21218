"""What the numbers say, in sentences that code builds from them."""

from redhanded.report.paper import SOURCES
from redhanded.report.run import Records
from redhanded.report.tables import Section
from redhanded.report.text import listed


def tally(section: Section) -> str:
    """How many cells of one protocol were measured, beat chance and exceed the paper's numbers, in one sentence."""
    cells = [cell for cell in section.cells if cell.measured]
    printed = [cell for cell in cells if cell.paper is not None]
    unmeasured, weak = len(section.cells) - len(cells), sum(bool(cell.weak) for cell in cells)
    significant, above = sum(cell.significant for cell in cells), sum(cell.above_paper for cell in printed)
    parts = [f"{significant} of {len(cells)} measured cells beat chance after Holm's correction"]
    if printed:
        parts.append(f"{above} of the {len(printed)} beside a printed number are above the paper's")
    if unmeasured:
        parts.append(f"{unmeasured} gave no number (collapsed or too few images)")
    if weak:
        parts.append(f"{weak} rest on a weak victim")
    return "; ".join(parts)


def caveats(records: Records) -> list[str]:
    """What a reader must know before the first table; empty for a finished run at the paper's size."""
    found = []
    if not records.run.finished:
        found.append("This run has not finished: cells that are missing below were not asked yet.")
    for source in sorted({result.source for result in records.results}):
        if SOURCES.get(source, source) != source:
            found.append(f"The paper's numbers are for {SOURCES[source]}; the images of this run are {source}.")
    narrow = [f"{card.name} ({card.width:g})" for card in records.victims if card.width < 1]
    if narrow:
        found.append(
            f"Victims narrower than the full networks, by width factor: {listed(narrow)}; "
            "the paper's numbers come from other networks than these."
        )
    weak = [card.name for card in records.victims if card.too_weak]
    if weak:
        found.append(f"Weak victims, which misread too many clean images for an attack to say much: {listed(weak)}.")
    return found
