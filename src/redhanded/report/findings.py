"""What the numbers say, in sentences that code builds from them."""

from typing import NamedTuple

from redhanded.report.paper import SOURCES
from redhanded.report.run import Records
from redhanded.report.tables import Protocol, Section
from redhanded.report.text import listed


class Tally(NamedTuple):
    """Counts over the cells of one protocol."""

    protocol: Protocol
    measured: int
    significant: int
    unmeasured: int  # collapsed or too few images
    printed: int  # measured cells beside a number of the paper
    above: int  # of these, above it
    weak: int  # measured cells that involve a weak victim

    @property
    def sentence(self) -> str:
        """The tally in words."""
        parts = [f"{self.significant} of {self.measured} measured cells beat chance after Holm's correction"]
        if self.printed:
            parts.append(f"{self.above} of the {self.printed} beside a printed number are above the paper's")
        if self.unmeasured:
            parts.append(f"{self.unmeasured} gave no number (collapsed or too few images)")
        if self.weak:
            parts.append(f"{self.weak} rest on a weak victim")
        return "; ".join(parts)


def tally(section: Section) -> Tally:
    """Count the cells of one protocol."""
    cells = [cell for cell in section.cells if cell.measured]
    printed = [cell for cell in cells if cell.paper is not None]
    return Tally(
        protocol=section.protocol,
        measured=len(cells),
        significant=sum(cell.significant for cell in cells),
        unmeasured=len(section.cells) - len(cells),
        printed=len(printed),
        above=sum(cell.above_paper for cell in printed),
        weak=sum(bool(cell.weak) for cell in cells),
    )


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
