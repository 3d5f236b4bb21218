"""The figures of a report with their names, captions and alternative texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from redhanded.data import AS_LEFT
from redhanded.report.figures import (
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
    """A figure in every form that a report needs."""

    name: str  # of its files, without the ending
    caption: str
    alt: str
    png: bytes
    svg: bytes
    result: Result | None = None  # of a confusion matrix

    @property
    def inline(self) -> str:
        """The drawing as an element of a page."""
        return inline_svg(self.svg, self.name)


def slug(*words: str) -> str:
    """Words as one safe name for files and anchors."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def protocol_words(protocol: Protocol) -> str:
    """What a table or figure must name: source, pixels, attributor, knowledge."""
    bound = " (upper bound, not a result)" if protocol.knowledge == "oracle" else ""
    pixels, source, attributor, knowledge = protocol
    return f"{source}, {pixels} pixels, attributor {attributor}, {knowledge}{bound}"


def comparison(section: Section) -> Drawing:
    """All cells of one protocol beside the paper's numbers."""
    figure = draw_comparison(section)
    return Drawing(
        name=slug("comparison", *section.protocol),
        caption=f"Ours beside the paper, a dot each training: {protocol_words(section.protocol)}.",
        alt=f"Dot figure of {len(section.cells)} accuracies, each with its interval, chance and, where "
        "there is one, the paper's number. The same numbers stand in the tables that follow.",
        png=to_png(figure),
        svg=to_svg(figure),
    )


def figure2(attacked: Gallery) -> Drawing:
    """An image under each attack."""
    figure = draw_attacked(attacked)
    names = listed(list(attacked.images))
    return Drawing(
        name="figure2",
        caption=f"Figure 2: image {attacked.index} of the test split under each attack on {attacked.victim}, in the "
        f"setting chosen for {AS_LEFT}; it fooled the victim each time. Below it the perturbation, scaled to its own "
        "largest value, which is given in grey levels of 255.",
        alt=f"One image, unchanged and under {names}; below each its perturbation around grey.",
        png=to_png(figure, colours=None),  # images, not a drawing
        svg=to_svg(figure),
    )


def pictures(table: Table) -> list[Drawing]:
    """The figures that belong to a table, all of the first measured seed of each place, in the table's order."""
    firsts = [cell for cells in table.places for cell in [one for one in cells if one.measured][:1]]
    item, drawings = table.item, []
    if item.confusion:
        drawings += [_confusion(table, cell) for cell in firsts]
    if item.projection:
        drawings += [_projection(table, cell.result) for cell in firsts if cell.result.projection]
    if item.reliability and any(cell.result.calibration for cell in firsts):
        drawings.append(_reliability(table, [cell.result for cell in firsts]))
    return drawings


def _confusion(table: Table, cell: Cell) -> Drawing:
    result = cell.result
    figure = draw_confusion(result.classes, result.confusion)
    several = len(table.cells) > 1
    which = f" {result.row}, {result.column}, seed {result.seed}:" if several else ""
    return Drawing(
        name=slug(table.key, *table.protocol, *((result.question, str(result.seed)) if several else ())),
        caption=f"{table.item.title}:{which} share of each true class (row) given to each class (column), in "
        f"per cent; no number below 10 %. {protocol_words(table.protocol)}; {result.n_test} images a class."
        + (f" Weak victims: {listed(cell.weak)}." if cell.weak else ""),
        alt=_confusion_alt(result),
        png=to_png(figure),
        svg=to_svg(figure),
        result=result,
    )


def _projection(table: Table, result: Result) -> Drawing:
    """The features behind a result as points of a plane."""
    families = [result.sets[name][0].partition("/")[2].partition("-")[0] for name in result.classes]
    figure, points = draw_projection(families, result.projection), len(result.projection) // len(result.classes)
    return Drawing(
        name=slug(table.key, *table.protocol, result.question, str(result.seed)),
        caption=f"{table.item.title}: t-SNE of the features of {points} test images a class, {result.row}, "
        f"{result.column}; {len(result.classes)} settings, those of one algorithm in shades of one colour. "
        f"{protocol_words(table.protocol)}. Distances between clusters mean nothing.",
        alt=f"Points of a plane in {len(set(families))} colours, one an algorithm: {listed(sorted(set(families)))}.",
        png=to_png(figure),
        svg=to_svg(figure),
    )


def _reliability(table: Table, results: Sequence[Result]) -> Drawing:
    """Accuracy over confidence, a panel for each question."""
    measured = {result.row: result.calibration for result in results if result.calibration}
    figure = draw_reliability({row: calibration.reliability for row, calibration in measured.items()})
    errors = [f"{row} {percent(calibration.ece)}" for row, calibration in measured.items()]
    return Drawing(
        name=slug("reliability", table.key, *table.protocol),
        caption="Reliability: of the answers of nearly one confidence (a tenth each, calibrated on held-out source "
        "images) the share that is right; a dot's area is the share of the answers. On the line a probability is "
        f"worth its name. {protocol_words(table.protocol)}.",
        alt=f"Accuracy over confidence. Expected calibration error in per cent: {listed(errors)}.",
        png=to_png(figure),
        svg=to_svg(figure),
    )


def _confusion_alt(result: Result) -> str:
    shares = row_shares(result.confusion)
    right = ", ".join(f"{name} {percent(shares[i][i])} %" for i, name in enumerate(result.classes))
    text = f"Confusion matrix of {len(result.classes)} classes. Named rightly: {right}."
    errors = [(shares[i][j], i, j) for i in range(len(shares)) for j in range(len(shares)) if i != j]
    share, true, predicted = max(errors, default=(0.0, 0, 0))
    if share:
        names = result.classes
        text += f" The commonest error: {names[true]} taken for {names[predicted]}, {percent(share)} % of it."
    return text
