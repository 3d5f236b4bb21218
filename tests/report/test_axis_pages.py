"""Reports of runs with axes: hand-made records, whose numbers are counted here in another way."""

import csv
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from redhanded.attributors import OpenSet
from redhanded.core import read_record, wilson_interval, write_record
from redhanded.engine import RunCard
from redhanded.report import keep_run, main_table, write_report, write_summary
from redhanded.report.axes import build_axis_sections, logarithmic
from redhanded.report.figures import Counts, draw_confusion, draw_estimates
from redhanded.report.palette import HEAT
from redhanded.report.run import read_run
from redhanded.studies import AxisResult, Confusion, NumberScore, Tally
from support.report_run import Page, html, make_run, markdown

NAMES = ["control", "fgsm", "deepfool"]
KINDS = ["control", "single step", "minimal norm"]
AXES = [
    {"name": "later", "title": "other code", "pixels": []},
    {"name": "transport", "title": "what images go through", "pixels": ["jpeg-75"]},
    {"name": "everything", "title": "all at once", "pixels": []},
]


def tally(n: int, **counts: int) -> Tally:
    empty = dict.fromkeys(Tally.model_fields, 0)
    return Tally(**empty | {"n": n} | counts)


def record(axis: str = "known", **fields: Any) -> AxisResult:
    """A record of forty controls, fifty images by FGSM and ten by DeepFool, unless told otherwise."""
    given: dict[str, Any] = {
        "study": "axes",
        "source": "mnist5k",
        "axis": axis,
        "title": {"known": "what the training was like"} | {one["name"]: one["title"] for one in AXES},
        "attributor": "factored",
        "knowledge": "blind",
        "pixels": "uint8",
        "transport": "uint8",
        "seed": 0,
        "without": "",
        "strangers": False,
        "n_train": 500,
        "n": 100,
        "dimensions": {
            "kind": Confusion(truths=KINDS, names=KINDS, counts=[[39, 1, 0], [0, 48, 2], [0, 2, 8]], ece=0.1),
            "family": Confusion(truths=NAMES, names=NAMES, counts=[[38, 2, 0], [0, 45, 5], [1, 2, 7]], ece=0.1),
        },
        "tallies": {
            "clean": tally(30, accused=3),
            "jpeg": tally(10, accused=2),
            "fgsm": tally(50, relied_on=44, unknown=3, sure_and_wrong=2, in_set=47, few=40, accused=47),
            "deepfool": tally(10, relied_on=5, unknown=2, all_clear=1, in_set=9, few=7, accused=7),
        },
        "numbers": [],
        "another": None,
        "detectors": {},
        "seconds": 1.0,
        "key": "",
    }
    given["title"] = given["title"].get(axis, axis)
    return AxisResult(**given | fields)


def write_axes(run: Path, records: list[AxisResult], *, questions: bool = False) -> Path:
    make_run(run, names=["alexnet", "vgg16"], kinds=["norm"])
    if not questions:
        for path in sorted((run / "results" / "questions").rglob("*.json")):
            path.unlink()
    card = read_record(RunCard, run / "run.json")
    write_record(card.model_copy(update={"study": card.study | {"axes": AXES}}), run / "run.json")
    for one in records:
        name = f"{one.axis}-without-{one.without}" if one.without else one.axis
        file = f"{one.attributor}-{one.pixels}-{one.seed}.json"
        write_record(one, run / "results" / "axes" / name / file)
    return run


FGSM_ALONE = {
    "dimensions": {
        "kind": Confusion(truths=["single step"], names=KINDS, counts=[[0, 20, 0]], ece=0.1),
        "family": Confusion(truths=["fgsm"], names=NAMES, counts=[[4, 12, 4]], ece=0.1),
    },
    "tallies": {"fgsm": tally(20, relied_on=10, unknown=4, sure_and_wrong=3, all_clear=2, accused=14)},
    "n": 20,
}
POINTS = [(0.01, 0.011), (0.02, 0.018), (0.1, 0.2)]
EPS = NumberScore(
    family="fgsm", norm="l2", parameter="eps", n=50, relative=0.123, log10=0.05, covered=0.88, width=0.31, points=POINTS
)


def detectors(**auroc: float) -> dict[str, OpenSet]:
    return {name: OpenSet(auroc=value, fpr95=0.1, oscr=0.8, sure_and_wrong=0.05) for name, value in auroc.items()}


def left_out(family: str, **auroc: float) -> AxisResult:
    counts = [[38, 2], [3, 7], [10, 40]] if family == "fgsm" else [[38, 2], [0, 50], [4, 6]]
    named = "deepfool" if family == "fgsm" else "fgsm"
    confusion = Confusion(truths=["control", named, family], names=["control", named], counts=counts, ece=0.1)
    return record(without=family, dimensions={"family": confusion}, detectors=detectors(**auroc))


def everything() -> list[AxisResult]:
    return [
        record(numbers=[EPS]),
        record(seed=1, tallies={"clean": tally(40), "fgsm": tally(50, relied_on=50), "deepfool": tally(10)}),
        record("later", **FGSM_ALONE),
        record("later", seed=1, **FGSM_ALONE),
        record("later", without="later", **FGSM_ALONE),
        record("transport-jpeg-75", transport="jpeg-75", title="what images go through"),
        record("everything", strangers=True, knowledge="candidates", attributor="factored_asked", another=0.75),
        record(attributor="factored_asked", knowledge="candidates"),
        left_out("fgsm", entropy=0.6, mahalanobis=0.9),
        left_out("deepfool", entropy=0.8, mahalanobis=0.5),
    ]


@pytest.fixture
def axes_run(tmp_path: Path) -> Path:
    return write_axes(tmp_path / "run", everything())


def line_of(text: str, start: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [[cell.strip() for cell in row.strip("|").split("|")][1:] for row in rows]


@pytest.mark.usefixtures("undrawn")
def test_the_numbers_are_those_that_are_counted_by_hand(axes_run: Path) -> None:
    write_report(axes_run)
    text, page = markdown(axes_run), Page(html(axes_run))
    names, fates = line_of(text.split("## Along the axes")[1].split("blind")[1], "what the training was like")[:2]
    family = (Fraction(38, 40) + Fraction(45, 50) + Fraction(7, 10)) / 3
    assert names[0] == "100"
    assert names[4] == f"{float(100 * family):.1f} ±0.0"
    relied = [(Fraction(44, 50) + Fraction(5, 10)) / 2, Fraction(1, 2)]  # the families alone, of each training
    alarms = [(Fraction(3, 30) + Fraction(2, 10)) / 2, Fraction(0)]
    for place, shares in ((0, relied), (4, alarms)):
        mean, half = sum(shares) / 2, (max(shares) - min(shares)) / 2
        assert fates[place] == f"{float(100 * mean):.1f} ±{float(100 * half):.1f}"
    cells = page.cells("Along the axes:", "attributor factored,")
    assert f"what the training was like | 100 | {names[1]}" in cells
    assert f"| {fates[0]} |" in cells


@pytest.mark.usefixtures("undrawn")
def test_an_axis_of_one_family_is_compared_with_that_family_alone(axes_run: Path) -> None:
    write_report(axes_run)
    names = line_of(markdown(axes_run), "other code, held out")[0]
    low, high = wilson_interval(12, 20)  # of one name the interval is its own
    assert names[4:7] == ["60.0", f"{100 * low:.1f}–{100 * high:.1f}", "30.0"]  # 45 of 50 less 12 of 20
    assert line_of(markdown(axes_run), "other code, trained on as well")[0][6] == "30.0"
    assert names[3] == "−4.0"  # kinds: 48 of 50, and 20 of 20


def test_the_interval_of_a_mean_is_narrower_than_those_of_its_names_and_never_empty(axes_run: Path) -> None:
    (section,) = (one for one in build_axis_sections(read_run(axes_run)) if one.protocol.knowledge == "blind")
    line = section.lines[0]
    low, high = line.recalls["family"].interval
    widths = [high - low for right, n in ((38, 40), (45, 50), (7, 10)) for low, high in [wilson_interval(right, n)]]
    assert max(widths) / 3 < high - low < sum(widths) / 3
    assert low < line.recalls["family"].each[0] < high


def test_lines_stand_in_the_order_of_the_study_with_titles_in_words(axes_run: Path) -> None:
    blind, asked = build_axis_sections(read_run(axes_run))
    assert [line.title for line in blind.lines] == [
        "what the training was like",
        "other code, trained on as well",
        "other code, held out",
        "what images go through: as a JPEG of quality 75",
    ]
    assert [line.title for line in asked.lines] == ["what the training was like", "all at once (strangers asked)"]
    assert asked.hardest.first.axis == "everything"
    assert asked.lines[1].another == (0.75,)


def test_a_detector_is_chosen_on_the_other_families(axes_run: Path) -> None:
    blind = build_axis_sections(read_run(axes_run))[0]
    assert {one.family: (one.chosen, one.auroc) for one in blind.left_out} == {
        "fgsm": ("entropy", 0.6),  # which is best on DeepFool
        "deepfool": ("mahalanobis", 0.5),
    }
    assert sorted(blind.chosen_aurocs) == [0.5, 0.6]
    fgsm = next(one for one in blind.left_out if one.family == "fgsm")
    assert fgsm.fates["unknown"] == 3 / 50
    assert fgsm.refused == 2 / 10  # of DeepFool, the one family that was trained on
    assert fgsm.refused_controls == 0
    assert (fgsm.likeliest, fgsm.likeliest_share) == ("deepfool", 0.8)


def test_a_run_of_axes_alone_has_every_figure_and_no_words_about_questions(axes_run: Path) -> None:
    write_report(axes_run)
    text, page = markdown(axes_run), html(axes_run)
    named = set(re.findall(r"\(figures/([^)]+)\.png\)", text))
    drawn = {path.stem for path in (axes_run / "report" / "figures").glob("*.png")}
    assert named == drawn == {path.stem for path in (axes_run / "report" / "figures").glob("*.svg")}
    assert len(drawn) == 1 + 2 * 4 + 1  # figure 2; kinds and families of two axes each; the estimates
    for word in ("printed numbers", "How to read a cell", "results.csv", "The setting that stands"):
        assert word not in text + page
    assert "| fgsm | l2 | eps | 50 | 12.3 | 0.05 | 88.0 | 31.0 |" in text
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r'id="([^"]+)"', page))


@pytest.mark.usefixtures("undrawn")
def test_questions_and_axes_stand_in_one_report(tmp_path: Path) -> None:
    run = write_axes(tmp_path / "run", everything(), questions=True)
    write_report(run)
    text = markdown(run)
    assert "## Along the axes" in text
    assert text.index("Table 8") < text.index("## Along the axes") < text.index("## What these numbers are")
    assert "[results.csv](results.csv) and [axes.csv](axes.csv)" in text


@pytest.mark.usefixtures("undrawn")
def test_the_sheet_has_a_row_for_each_record(axes_run: Path) -> None:
    write_report(axes_run)
    assert not (axes_run / "report" / "results.csv").exists()
    with (axes_run / "report" / "axes.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(everything())
    row = next(row for row in rows if row["axis"] == "later" and row["without"] == "later")
    assert float(row["recall_family"]) == 12 / 20
    assert float(row["relied_on"]) == 0.5
    assert row["accused"] == row["recall_norm"] == ""
    assert json.loads(row["tallies"])["fgsm"]["sure_and_wrong"] == 3


@pytest.mark.usefixtures("undrawn")
def test_a_kept_run_of_axes_and_the_summary_have_them(axes_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    keep_run(axes_run, folder / "wild")
    assert {path.name for path in (folder / "wild" / "report").iterdir()} == {"report.md", "figures", "axes.csv.gz"}
    page = write_summary(folder).read_text()
    cells = line_of(page, "other code, held out")[0]
    assert cells[:3] == ["factored", "uint8", "20"]
    assert cells[4].startswith("60.0 (")
    assert cells[5] == "30.0"
    numbers = json.loads((folder / "summary.json").read_text())["mnist5k"]["axes"]["axes"]["factored"]["uint8"]
    assert numbers["axes"]["later-without-later"]["recall"]["family"] == 0.6
    assert numbers["left_out"]["fgsm"]["auroc"] == 0.6


def test_the_terminal_shows_the_axes_where_there_are_no_questions(axes_run: Path) -> None:
    table = main_table(axes_run)
    assert str(table.title) == "Along the axes"
    assert table.row_count == 4


def test_a_confusion_need_not_be_square() -> None:
    confusion = Counts(["b", "new"], ["a", "b", "c"], [[1, 9, 0], [5, 0, 5]])
    (axes,) = draw_confusion(confusion).axes
    full = [one for one in axes.patches if to_rgb(one.get_facecolor()) == to_rgb(HEAT)]
    shades = {tuple(round(v) for v in one.get_center()): one.get_facecolor()[3] for one in full}
    assert shades == pytest.approx({(0, 0): 0.1, (1, 0): 0.9, (0, 1): 0.5, (2, 1): 0.5})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "new"]


@pytest.mark.parametrize("logged", [True, False])
def test_estimates_are_drawn_over_truths_on_the_scale_of_their_range(logged: bool) -> None:
    parameter = ("fgsm", "l2", "eps")
    (axes,) = draw_estimates({parameter: EPS}, {parameter} if logged else set()).axes
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [list(point) for point in POINTS]
    assert axes.get_xscale() == axes.get_yscale() == ("log" if logged else "linear")


def test_a_logarithmic_range_is_known_by_its_sets_card(axes_run: Path) -> None:
    cards = [card for card in read_run(axes_run).sets if (card.family, card.norm) == ("fgsm", "l2")][:2]
    ranges = ({"eps": "log_uniform(0.004,0.25)"}, {"eps": "uniform(1,2)"})
    drawn = [card.model_copy(update={"setting": one}) for card, one in zip(cards, ranges, strict=True)]
    bim = drawn[0].model_copy(update={"family": "bim"})
    assert logarithmic([drawn[0]]) == {("fgsm", "l2", "eps")}
    assert logarithmic([bim]) == {("pgd", "l2", "eps")}  # under the name that attribution has for it
    assert logarithmic([drawn[1]]) == set()
