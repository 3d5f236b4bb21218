"""The figures of a report, with their names, captions and alternative texts. The same records give the same bytes."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import cycle, islice
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image
from torch import Tensor

from redhanded.attributors import Calibration, ReliabilityBin
from redhanded.data import AS_LEFT
from redhanded.report.axes import AxisLine, AxisSection, Parameter
from redhanded.report.palette import HEAT, INK, LINE, MUTED, ON_HEAT, OURS, PAPER, SURFACE, inline_svg
from redhanded.report.paper import rank
from redhanded.report.tables import Cell, Protocol, Section, Table
from redhanded.report.text import listed, percent, short
from redhanded.sets import Gallery
from redhanded.studies import DIMENSIONS, NumberScore, Result

BLANK_BELOW = 0.10  # cells with a smaller share of their row carry no number, as in the paper
LIGHT_TEXT_FROM = 0.72  # where white and ink stand out equally from the shade
DOTS = 120  # an inch of a PNG: lettering of 13 pixels
PANELS_ABREAST = 5  # parameters in a line
COLOURS = 128  # of a PNG's palette: no eye sees the difference, and the file is a third as large
TRAININGS_APART = 0.22  # of a line
_ABOVE: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3, "borderaxespad": 0.2}
_MARKS = ((OURS, "o"), (PAPER, "s"), (INK, "^"))  # of families
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "redhanded",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


class Counts(NamedTuple):
    """A confusion matrix: images by what they are and by what they are taken for."""

    truths: Sequence[str]  # of the rows
    names: Sequence[str]  # of the columns
    counts: Sequence[Sequence[int]]


def row_shares(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Divide each row by its sum; a row without images stays zero."""
    return [[count / max(sum(row), 1) for count in row] for row in confusion]


def cell_texts(confusion: Sequence[Sequence[int]]) -> list[list[str]]:
    """Write each count as per cent of its row, a whole number; empty below 10 %."""
    return [[f"{100 * share:.0f}" if share >= BLANK_BELOW else "" for share in row] for row in row_shares(confusion)]


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=SURFACE)
    return figure, figure.add_subplot(facecolor=SURFACE)


@_style()
def draw_confusion(confusion: Counts) -> Figure:
    """Draw a confusion matrix. Rows: true class; columns: predicted class; shade and number: share of the row."""
    truths, names = confusion.truths, confusion.names
    figure, axes = _figure(2.6 + 0.36 * len(names), 2.6 + 0.36 * len(truths))
    counts = confusion.counts
    for i, (shares, texts) in enumerate(zip(row_shares(counts), cell_texts(counts), strict=True)):
        for j, (share, text) in enumerate(zip(shares, texts, strict=True)):
            corner = (j - 0.47, i - 0.47)
            axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=(LINE, 0.35), linewidth=0))
            if share:
                axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=(HEAT, share), linewidth=0))
            if text:
                color = ON_HEAT if share >= LIGHT_TEXT_FROM else INK
                axes.text(j, i, text, ha="center", va="center", color=color)
    ends = {"xlim": (-0.5, len(names) - 0.5), "ylim": (len(truths) - 0.5, -0.5)}
    axes.set(**ends, aspect="equal", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(truths)), truths)
    axes.tick_params(length=0)
    return figure


@_style()
def draw_comparison(section: Section) -> Figure:
    """Draw one line a place: ours with its interval, a dot each training, the chance mark, the paper's mark."""
    figure, axes = _figure(7.4, 0.2 * sum(1 + len(table.places) for table in section.tables) + 1.0)
    labels: list[str] = []
    headings: list[bool] = []
    for table in section.tables:
        labels.append(table.item.title)
        headings.append(True)
        for cells in table.places:
            _dots(axes, len(labels), cells)
            weak = " (weak)" if cells[0].weak else ""
            labels.append(f"{cells[0].result.row}, {cells[0].result.column}{weak}")
            headings.append(False)
    axes.set_yticks(range(len(labels)), labels)
    for tick, heading in zip(axes.get_yticklabels(), headings, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    axes.set(xlim=(-0.01, 1.02), ylim=(len(labels) - 0.3, -0.7))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_xlabel("accuracy, %")
    axes.tick_params(length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.plot([], [], "o", color=OURS, markersize=5, label="ours, 95 % interval")
    axes.plot([], [], "D", color=PAPER, markerfacecolor=SURFACE, markersize=5, label="the paper's")
    axes.plot([], [], "|", color=MUTED, markersize=5, label="chance")
    axes.legend(**_ABOVE, frameon=False)
    return figure


def _dots(axes: Axes, y: int, cells: Sequence[Cell]) -> None:
    """Draw the cells of one place, which share all but the training: their dots below one another on its line."""
    chance, paper = cells[0].result.chance, cells[0].paper
    axes.axhline(y, color=LINE, linewidth=0.5, zorder=0)
    axes.plot([chance], [y], "|", color=MUTED, markersize=8, markeredgewidth=1.2)
    if paper is not None:
        axes.plot([paper], [y], "D", color=PAPER, markerfacecolor=SURFACE, markersize=4.6, zorder=3)
    for place, cell in enumerate(cells):
        accuracy, interval = cell.result.accuracy, cell.result.interval
        if cell.measured and accuracy is not None and interval is not None:
            at = y + TRAININGS_APART * (place - (len(cells) - 1) / 2)
            axes.plot(interval, [at, at], color=OURS, linewidth=1.6, solid_capstyle="butt", zorder=4)
            axes.plot([accuracy], [at], "o", color=OURS, markersize=4.2, zorder=5)
    others = ", ".join(dict.fromkeys(cell.result.status for cell in cells if not cell.measured))
    if others:
        axes.text(chance + 0.015, y, others, color=MUTED, va="center", fontsize=7, style="italic")


@_style()
def draw_projection(families: Sequence[str], points: Sequence[tuple[float, float]]) -> Figure:
    """Draw points class by class, equally many each; classes of one family in shades of its colour."""
    figure, axes = _figure(5.2, 5.2)
    marks = dict(zip(sorted(set(families)), cycle(_MARKS)))
    for place, (family, own) in enumerate(zip(families, np.split(np.array(points), len(families)), strict=True)):
        shade = 1.0 - 0.75 * families[:place].count(family) / max(families.count(family) - 1, 1)
        color, marker = marks[family]
        axes.scatter(own[:, 0], own[:, 1], s=9, marker=marker, color=color, alpha=shade, linewidths=0)
    for family, (color, marker) in islice(marks.items(), len(_MARKS)):
        axes.plot([], [], marker, color=color, markersize=5, label=family)
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.legend(**_ABOVE, frameon=False)
    return figure


@_style()
def draw_reliability(panels: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Draw for each panel the accuracy of answers of nearly one confidence, over it; a dot's area is their share."""
    figure = Figure(figsize=(1.9 * len(panels) + 0.4, 2.4), layout="constrained", facecolor=SURFACE)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, bins) in zip(row, panels.items(), strict=True):
        total = sum(one.n for one in bins)
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, zorder=0)
        confidences, accuracies = [one.confidence for one in bins], [one.accuracy for one in bins]
        axes.plot(confidences, accuracies, color=OURS, linewidth=1, zorder=1)
        axes.scatter(confidences, accuracies, s=[6 + 90 * one.n / total for one in bins], color=OURS, zorder=2)
        axes.set(title=name, xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), aspect="equal", facecolor=SURFACE)
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100"])
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100"])
        axes.set_xlabel("confidence, %")
    row[0].set_ylabel("accuracy, %")
    return figure


@_style()
def draw_estimates(scores: Mapping[Parameter, NumberScore], logarithmic: Collection[Parameter]) -> Figure:
    """Draw for each parameter the estimate of some images over the truth; on the line they are the same."""
    columns = min(PANELS_ABREAST, len(scores))
    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(1.85 * columns + 0.3, 1.95 * rows + 0.3), layout="constrained", facecolor=SURFACE)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (parameter, score) in zip(panels, scores.items(), strict=False):
        truths, estimates = np.array(score.points).T
        family, norm, name = parameter
        axes.set_title(f"{family} {norm}\n{name}", fontsize=8)
        low, high = min(map(min, score.points)), max(map(max, score.points))
        if parameter in logarithmic and low > 0:
            axes.set(xscale="log", yscale="log")
            ends = (low / 1.15, high * 1.15)
        else:
            room = 0.06 * max(high - low, 1e-9)
            ends = (low - room, high + room)
        axes.plot(ends, ends, color=LINE, linewidth=1, zorder=0)
        axes.scatter(truths, estimates, s=7, color=OURS, alpha=0.6, linewidths=0)
        axes.set(facecolor=SURFACE, xlim=ends, ylim=ends, box_aspect=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 3)) if axes.get_xscale() == "log" else MaxNLocator(3))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.tick_params(labelsize=6, length=2)
        axes.spines[["right", "top"]].set_visible(False)
    for axes in panels[len(scores) :]:
        axes.set_axis_off()
    figure.supxlabel("true", fontsize=8)
    figure.supylabel("estimated", fontsize=8)
    return figure


@_style()
def draw_attacked(attacked: Gallery) -> Figure:
    """Draw the image under each attack; below it what was added, around grey and as large as it can be shown."""
    columns = {"clean": attacked.clean, **attacked.images}
    figure = Figure(figsize=(1.75 * len(columns), 3.9), layout="constrained", facecolor=SURFACE)
    axes = figure.subplots(2, len(columns), squeeze=False)
    for upper, (name, image) in zip(axes[0], columns.items(), strict=True):
        upper.set_title(re.sub("-(?=[a-z])", "\n", name), fontsize=8)  # a part of the label a line
        _show(upper, image)
    axes[1, 0].set_axis_off()
    for lower, added in zip(axes[1, 1:], attacked.perturbations().values(), strict=True):
        largest = max(added.abs().max().item(), 1e-9)
        _show(lower, 0.5 + added * (0.5 / largest))
        lower.set_title(f"within {short(255 * largest)} levels", fontsize=7, color=MUTED)
    return figure


def _show(axes: Axes, image: Tensor) -> None:
    """Show an image, (c, h, w) in [0, 1], of one channel or three."""
    pixels = image.clamp(0, 1).permute(1, 2, 0).squeeze(2).numpy()
    axes.imshow(pixels, cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    axes.set_axis_off()


@_style()
def _render(figure: Figure, file_format: str, metadata: dict[str, None]) -> BytesIO:
    stream = BytesIO()
    figure.savefig(stream, format=file_format, dpi=DOTS, metadata=metadata)
    return stream


@dataclass(frozen=True)
class Drawing:
    """A figure, and the words that a report has for it."""

    name: str  # of its files, without the ending
    caption: str
    alt: str
    figure: Figure
    confusion: Counts | None = None  # where it shows one
    colours: int | None = COLOURS  # of the PNG's palette; None for all there are

    @cached_property
    def png(self) -> bytes:
        """The PNG file: DOTS an inch, without a version or a date in it."""
        drawn = _render(self.figure, "png", {"Software": None})
        if self.colours is None:
            return drawn.getvalue()
        stream = BytesIO()
        with Image.open(drawn) as image:
            opaque = image.convert("RGB")
        opaque.quantize(self.colours, kmeans=3, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue()

    @cached_property
    def svg(self) -> bytes:
        """The SVG file: text stays text; without a version or a date in it."""
        return _render(self.figure, "svg", {"Date": None, "Creator": None}).getvalue()

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
    """Draw the figures that belong to a table, all of the first measured seed of each place, in its order."""
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
    confusion = Counts(names, names, result.confusion)
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
        figure=draw_confusion(confusion),
        confusion=confusion,
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


def axis_pictures(section: AxisSection, logarithmic: Collection[Parameter]) -> list[Drawing]:
    """Draw what kinds and families are named on `known` and on the hardest axis, and the estimates on `known`."""
    known, hardest = section.known, section.hardest
    lines = [known] if known else []
    lines += [] if hardest is known else [hardest]
    drawings = [
        _axis_confusion(section, line, dimension)
        for line in lines
        for dimension in ("kind", "family")
        if dimension in line.first.dimensions
    ]
    if known and known.numbers:
        drawings.append(_estimates(section, known, logarithmic))
    return drawings


def _axis_confusion(section: AxisSection, line: AxisLine, dimension: str) -> Drawing:
    first = line.first
    confusion = first.dimensions[dimension]
    order = sorted(range(len(confusion.truths)), key=lambda row: rank(confusion.truths[row], confusion.names))
    ordered = Counts(
        [confusion.truths[row] for row in order], confusion.names, [confusion.counts[row] for row in order]
    )
    right = [f"{name} {percent(right / n)} %" for name, (right, n) in confusion.recalls().items() if n]
    seed = f" Training of seed {first.seed}." if len(line.records) > 1 else ""
    return Drawing(
        name=slug("axis", first.axis, dimension, *section.protocol),
        caption=f"{DIMENSIONS[dimension].title}, {line.title}: share of each true name (row) given to each name "
        f"(column), in per cent; no number below 10 %. {protocol_words(section.protocol)}; {first.n} images.{seed}",
        alt=f"Confusion matrix of {len(ordered.truths)} true names. Named rightly: {', '.join(right) or 'none'}.",
        figure=draw_confusion(ordered),
        confusion=ordered,
    )


def _estimates(section: AxisSection, line: AxisLine, logarithmic: Collection[Parameter]) -> Drawing:
    words = [f"{' '.join(key)} {percent(one.relative)} %" for key, one in line.numbers.items()]
    return Drawing(
        name=slug("estimates", line.first.axis, *section.protocol),
        caption=f"Parameters, {line.title}: estimate over truth, a dot an image, given the true family and norm; axes"
        f" are logarithmic where the range is. {protocol_words(section.protocol)}.",
        alt=f"Estimates over truths of {len(words)} parameters. Median relative error: {', '.join(words)}.",
        figure=draw_estimates(line.numbers, logarithmic),
    )
