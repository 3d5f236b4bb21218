"""The figures of a report with their names, captions and alternative texts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from redhanded.attributors import Calibration
from redhanded.data import AS_LEFT
from redhanded.report.figures import (
    COLOURS,
    draw_attacked,
    draw_comparison,
    draw_confusion,
    draw_projection,
    draw_reliability,
    row_shares,
    to_png,
    to_svg,
)
from redhanded.report.palette import inline_svg
from redhanded.report.tables import Cell, Protocol, Section, Table
from redhanded.report.text import listed, percent
from redhanded.sets import Gallery
from redhanded.studies import Result


@dataclass(frozen=True)
class Drawing:
    """A figure, and the words that a report has for it."""

    name: str  # of its files, without the ending
    caption: str
    alt: str
    figure: Figure
    result: Result | None = None  # of a confusion matrix
    colours: int | None = COLOURS  # of the PNG's palette; None for all there are

    @cached_property
    def png(self) -> bytes:
        """The PNG file."""
        return to_png(self.figure, colours=self.colours)

    @cached_property
    def svg(self) -> bytes:
        """The SVG file."""
        return to_svg(self.figure)

    @property
    def inline(self) -> str:
        """The drawing as an element of a page."""
        return inline_svg(self.svg, self.name)


def slug(*words: str) -> str:
    """Join words to one safe name for files and anchors."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def protocol_words(protocol: Protocol) -> str:
    """Say what a table or figure must name: source, pixels, attributor, knowledge."""
    bound = " (upper bound, not a result)" if protocol.knowledge == "oracle" else ""
    pixels, source, attributor, knowledge = protocol
    return f"{source}, {pixels} pixels, attributor {attributor}, {knowledge}{bound}"


def comparison(section: Section) -> Drawing:
    """Show all cells of one protocol beside the paper's numbers."""
    return Drawing(
        name=slug("comparison", *section.protocol),
        caption=f"Ours beside the paper, a dot each training: {protocol_words(section.protocol)}.",
        alt=f"Dot figure of {len(section.cells)} accuracies, each with its interval, chance and, where "
        "there is one, the paper's number. The same numbers stand in the tables that follow.",
        figure=draw_comparison(section),
    )


def figure2(attacked: Gallery) -> Drawing:
    """Show an image under each attack."""
    names = listed(list(attacked.images))
    return Drawing(
        name="figure2",
        caption=f"Figure 2: image {attacked.index} of the test split under each attack on {attacked.victim}, in the "
        f"setting chosen for {AS_LEFT}; it fooled the victim each time. Below it the perturbation, scaled to its own "
        "largest value, which is given in grey levels of 255.",
        alt=f"One image, unchanged and under {names}; below each its perturbation around grey.",
        figure=draw_attacked(attacked),
        colours=None,  # images, not a drawing
    )


def pictures(table: Table) -> list[Drawing]:
    """The figures that belong to a table, all of the first measured seed of each place, in the table's order."""
    firsts = [cell for cells in table.places for cell in [one for one in cells if one.measured][:1]]
    item, drawings = table.item, []
    if item.confusion:
        drawings += [_confusion(table, cell) for cell in firsts]
    if item.projection:
        drawings += [_projection(table, cell.result) for cell in firsts if cell.result.projection]
    measured = {cell.result.row: cell.result.calibration for cell in firsts if cell.result.calibration}
    if item.reliability and measured:
        drawings.append(_reliability(table, measured))
    return drawings


def _confusion(table: Table, cell: Cell) -> Drawing:
    result, names, shares = cell.result, cell.result.classes, row_shares(cell.result.confusion)
    several = len(table.cells) > 1
    which = f" {result.row}, {result.column}, seed {result.seed}:" if several else ""
    right = ", ".join(f"{name} {percent(shares[i][i])} %" for i, name in enumerate(names))
    alt = f"Confusion matrix of {len(names)} classes. Named rightly: {right}."
    errors = [(shares[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
    share, true, predicted = max(errors, default=(0.0, 0, 0))
    if share:
        alt += f" The commonest error: {names[true]} taken for {names[predicted]}, {percent(share)} % of it."
    return Drawing(
        name=slug(table.key, *table.protocol, *((result.question, str(result.seed)) if several else ())),
        caption=f"{table.item.title}:{which} share of each true class (row) given to each class (column), in "
        f"per cent; no number below 10 %. {protocol_words(table.protocol)}; {result.n_test} images a class."
        + (f" Weak victims: {listed(cell.weak)}." if cell.weak else ""),
        alt=alt,
        figure=draw_confusion(names, result.confusion),
        result=result,
    )


def _projection(table: Table, result: Result) -> Drawing:
    """Show the features behind a result as points of a plane."""
    families = [result.sets[name][0].partition("/")[2].partition("-")[0] for name in result.classes]
    names, points = sorted(set(families)), len(result.projection) // len(result.classes)
    return Drawing(
        name=slug(table.key, *table.protocol, result.question, str(result.seed)),
        caption=f"{table.item.title}: t-SNE of the features of {points} test images a class, {result.row}, "
        f"{result.column}; {len(result.classes)} settings, those of one algorithm in shades of one colour. "
        f"{protocol_words(table.protocol)}. Distances between clusters mean nothing.",
        alt=f"Points of a plane in {len(names)} colours, one an algorithm: {listed(names)}.",
        figure=draw_projection(families, result.projection),
    )


def _reliability(table: Table, measured: Mapping[str, Calibration]) -> Drawing:
    """Show accuracy over confidence, a panel for each question."""
    errors = [f"{row} {percent(calibration.ece)}" for row, calibration in measured.items()]
    return Drawing(
        name=slug("reliability", table.key, *table.protocol),
        caption="Reliability: of the answers of nearly one confidence (a tenth each, calibrated on held-out source "
        "images) the share that is right; a dot's area is the share of the answers. On the line a probability is "
        f"worth its name. {protocol_words(table.protocol)}.",
        alt=f"Accuracy over confidence. Expected calibration error in per cent: {listed(errors)}.",
        figure=draw_reliability({row: calibration.reliability for row, calibration in measured.items()}),
    )
