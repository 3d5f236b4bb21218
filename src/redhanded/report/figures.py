"""Drawings: a confusion matrix, and our numbers beside the paper's. The same records give the same bytes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from redhanded.attributors import ReliabilityBin
from redhanded.report.palette import HEAT, INK, LINE, MUTED, ON_HEAT, OURS, PAPER, SURFACE
from redhanded.report.tables import Cell, Section
from redhanded.report.text import short
from redhanded.sets import Gallery

BLANK_BELOW = 0.10  # cells with a smaller share of their row carry no number, as in the paper
LIGHT_TEXT_FROM = 0.72  # where white and ink stand out equally from the shade
DOTS = 120  # an inch of a PNG: lettering of 13 pixels
COLOURS = 128  # of a PNG's palette: no eye sees the difference, and the file is a third as large
TRAININGS_APART = 0.22  # of a line
_CLEAN = "clean"
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


def row_shares(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Divide each row by its sum; a row without images stays zero."""
    return [[count / max(sum(row), 1) for count in row] for row in confusion]


def cell_texts(confusion: Sequence[Sequence[int]]) -> list[list[str]]:
    """Per cent of the row as whole numbers; empty below 10 %."""
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
def draw_confusion(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw a confusion matrix. Rows: true class; columns: predicted class; shade and number: share of the row."""
    k = len(classes)
    figure, axes = _figure(2.6 + 0.36 * k, 2.6 + 0.36 * k)
    for i, (shares, texts) in enumerate(zip(row_shares(confusion), cell_texts(confusion), strict=True)):
        for j, (share, text) in enumerate(zip(shares, texts, strict=True)):
            corner = (j - 0.47, i - 0.47)
            axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=(LINE, 0.35), linewidth=0))
            if share:
                axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=(HEAT, share), linewidth=0))
            if text:
                color = ON_HEAT if share >= LIGHT_TEXT_FROM else INK
                axes.text(j, i, text, ha="center", va="center", color=color)
    axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(k), classes, rotation=90)
    axes.set_yticks(range(k), classes)
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
    """cells: of one place, which share all but the training; their dots stand below one another on its line."""
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
def draw_attacked(attacked: Gallery) -> Figure:
    """Draw the image under each attack; below it what was added, around grey and as large as it can be shown."""
    columns = {_CLEAN: attacked.clean, **attacked.images}
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
    """image: (c, h, w) in [0, 1], of one channel or three."""
    pixels = image.clamp(0, 1).permute(1, 2, 0).squeeze(2).numpy()
    axes.imshow(pixels, cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    axes.set_axis_off()


def to_png(figure: Figure, *, colours: int | None = COLOURS) -> bytes:
    """Render a PNG of DOTS an inch, without a version or a date in it; colours: of its palette, None for all."""
    drawn = _render(figure, "png", {"Software": None})
    if colours is None:
        return drawn.getvalue()
    stream = BytesIO()
    with Image.open(drawn) as image:
        opaque = image.convert("RGB")
    opaque.quantize(colours, kmeans=3, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Render an SVG whose text stays text, without a version or a date in it."""
    return _render(figure, "svg", {"Date": None, "Creator": None}).getvalue()


@_style()
def _render(figure: Figure, file_format: str, metadata: dict[str, None]) -> BytesIO:
    stream = BytesIO()
    figure.savefig(stream, format=file_format, dpi=DOTS, metadata=metadata)
    return stream
