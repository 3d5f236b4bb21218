import json
import re
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from redhanded.attributors import ReliabilityBin
from redhanded.engine import read_run_records
from redhanded.errors import RunError
from redhanded.report import escape_markdown, main_table, percent, write_report
from redhanded.report.figures import cell_texts, draw_comparison, draw_reliability, pictures, row_shares
from redhanded.report.run import read_run
from redhanded.report.tables import build_sections
from redhanded.report.text import p_text, signed
from redhanded.sets import GALLERY_FILE
from support.report_run import QUESTIONS_BELOW, WEAK, Page, change, html, markdown, sheet


def test_the_page_reaches_for_nothing_outside(run: Path, page: Page) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "img", "object", "embed", "base"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if "http" in (value or "") and name != "content":
                assert (tag, name, value) == ("a", "href", "https://arxiv.org/abs/2101.02899")
    assert "@import" not in html(run)
    assert not re.search(r"url\((?!#)", html(run))


def test_the_page_can_be_read_by_everyone(run: Path, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in page.tags if tag == "a" and "href" in attributes}
    assert all((target or "")[1:] in ids for target in targets if (target or "").startswith("#"))
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert all(table["caption"].strip() for table in page.tables)
    figures = [attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "img"]
    assert sum("Confusion matrix of 9 classes" in (label or "") for label in figures) == 2
    assert sum("Confusion matrix of 15 classes" in (label or "") for label in figures) == 2
    assert "prefers-color-scheme: dark" in html(run)
    assert sum("Points of a plane in 3 colours" in (label or "") for label in figures) == 6
    assert len(re.findall(r"!\[[^]]{40,}\]\(figures/", markdown(run))) == 13
    assert sum("One image, unchanged and under" in (label or "") for label in figures) == 1


def test_names_are_text_and_never_markup(small: Path) -> None:
    hostile = "<script>alert(1)</script>|$x$"
    change(small, "norm/fgsm/vgg16", lambda record: record.update(attributor=hostile, row=hostile))
    write_report(small)
    assert "<script" not in html(small)
    assert "&lt;script&gt;alert(1)" in html(small)
    assert "<script" not in markdown(small)
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\|$x$" in markdown(small)
    assert {path.parent for path in (small / "report").rglob("*.png")} == {small / "report" / "figures"}


def test_the_same_records_give_the_same_bytes(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "elsewhere")
    first, second = (write_report(path).parent for path in (small, tmp_path / "elsewhere"))
    again = {path.relative_to(second): path.read_bytes() for path in second.rglob("*") if path.is_file()}
    assert len(again) == 9
    assert {path.relative_to(first): path.read_bytes() for path in first.rglob("*") if path.is_file()} == again


@pytest.mark.usefixtures("undrawn")
def test_an_old_figure_does_not_stay(small: Path) -> None:
    stale = small / "report" / "figures" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    write_report(small)
    assert not stale.exists()


def test_figures_decode(run: Path) -> None:
    figures = run / "report" / "figures"
    drawn = sorted(path.stem for path in figures.glob("*.png"))
    assert drawn == sorted(path.stem for path in figures.glob("*.svg"))
    kinds = ["attack"] * 6 + ["comparison"] * 2 + ["figure2"] + ["figure5"] * 2 + ["joint"] * 2
    assert [name.partition("-")[0] for name in drawn] == kinds
    for name in drawn:
        with Image.open(figures / f"{name}.png") as image:
            image.load()
            assert min(image.size) > 450
            assert len(image.convert("L").getcolors(256) or []) > 20
    svg = next(figures.glob("figure5-float32*.svg")).read_text()
    counts = next(r for r in read_run_records(run).results if r.question == "attack-and-victim")
    for texts in cell_texts(counts.confusion):
        assert all(f">{text}<" in svg for text in texts if text)


@pytest.mark.usefixtures("undrawn")
def test_figure_2_is_left_out_where_the_run_has_none(small: Path) -> None:
    (small / GALLERY_FILE).unlink()
    write_report(small)
    assert "Figure 2" not in html(small) + markdown(small)
    assert not list((small / "report").rglob("figure2*"))


@pytest.mark.parametrize(
    "harm", [lambda data: data[:40], lambda data: b"", lambda data: data.replace(b"index", b"inbex")]
)
def test_a_damaged_figure_2_is_one_line(small: Path, harm: Callable[[bytes], bytes]) -> None:
    (small / GALLERY_FILE).write_bytes(harm((small / GALLERY_FILE).read_bytes()))
    with pytest.raises(RunError, match="expected the images of figure 2 in") as caught:
        write_report(small)
    assert "\n" not in str(caught.value)


def test_cells_below_a_tenth_are_blank() -> None:
    assert cell_texts([[90, 10, 0], [99, 901, 0], [0, 0, 0]]) == [
        ["90", "10", ""],
        ["", "90", ""],
        ["", "", ""],
    ]
    assert row_shares([[1, 3], [0, 0]]) == [[0.25, 0.75], [0.0, 0.0]]


def test_wording() -> None:
    assert (signed(0.1134), signed(-0.02), signed(-0.0001)) == ("+11.3", "−2.0", "+0.0")
    assert (p_text(0.0004), p_text(0.0496), p_text(0.04996)) == ("p < 0.001", "p = 0.0496", "p = 0.04996")
    assert escape_markdown("a_b |_x_ <b> C&W &lt;\n2") == r"a_b \|\_x\_ &lt;b&gt; C&W &amp;lt; 2"


def test_the_terminal_shows_the_algorithm_table(run: Path) -> None:
    console = Console(width=140, record=True, file=StringIO())
    console.print(main_table(run))
    text = console.export_text()
    result = next(r for r in read_run_records(run).results if r.question == "algorithm-l2/vgg16")
    assert "Table 3" in text
    assert percent(result.accuracy) in text
    assert "chance 33.3, paper 78.0" in text
    assert "float32" in text


def test_the_terminal_takes_the_first_table_otherwise(small: Path) -> None:
    assert "Table 8" in str(main_table(small).title)


def test_weak_victims_are_marked(run: Path, page: Page) -> None:
    weak = {row["question"] for row in sheet(run) if row["weak_victims"] == WEAK}
    assert "algorithm-l2/resnet50" in weak
    assert {"joint", "victim/fgsm-l2"} <= weak
    assert "algorithm-l2/alexnet" not in weak
    assert f"weak: {WEAK}" in page.cells("Table 4:", "float32")
    weak_victim = f"{WEAK} | mnist5k | 0.125 | 1,234,567 | 61.0 | 57.9–64.0 | 1,000 | weak below 90.0"
    assert weak_victim in page.cells("clean")


def test_the_finding_counts_cells(run: Path) -> None:
    rows = [row for row in sheet(run) if row["pixels"] == "float32" and row["status"] == "measured"]
    significant = sum(row["above_chance"] == "True" for row in rows)
    printed = [row for row in rows if row["paper"]]
    above = sum(round(float(row["accuracy"]), 2) > float(row["paper"]) for row in printed)
    for text in (html(run).replace("&#39;", "'"), markdown(run)):
        assert f"{significant} of {len(rows)} measured cells beat chance after Holm's correction" in text
        assert f"{above} of the {len(printed)} beside a printed number are above the paper's" in text


def test_what_the_probabilities_are_worth_is_drawn_where_it_was_measured(small: Path) -> None:
    bins = {"family": [(80, 0.95, 0.9), (20, 0.55, 0.5)], "norm": [(50, 0.75, 0.7)]}
    path = small / QUESTIONS_BELOW / "float32" / "norm" / "fgsm" / "vgg16.json"
    record = json.loads(path.read_text())
    for row, parts in bins.items():
        reliability = [{"n": n, "confidence": sure, "accuracy": right} for n, sure, right in parts]
        worth = {"temperature": 1.0, "ece": 0.05, "brier": 0.1, "cllr": 0.2, "reliability": reliability}
        changed = {"question": f"dimension/{row}", "item": "dimension", "row": row, "column": "mnist5k"}
        path.with_name(f"{row}.json").write_text(json.dumps(record | changed | {"calibration": worth}))
    write_report(small)
    (table,) = (t for s in build_sections(read_run(small)) for t in s.tables if t.key == "dimension")
    (drawing,) = pictures(table)
    assert "family 5.0" in drawing.alt
    assert f"figures/{drawing.name}.png" in markdown(small)
    figure = draw_reliability(
        {row: [ReliabilityBin(n=n, confidence=c, accuracy=a) for n, c, a in bins[row]] for row in bins}
    )
    for axes, (row, parts) in zip(figure.axes, bins.items(), strict=True):
        dots = axes.collections[0]
        assert axes.get_title() == row
        assert dots.get_offsets().tolist() == [[sure, right] for _, sure, right in parts]
        assert dots.get_sizes().tolist() == sorted(dots.get_sizes(), reverse=True)  # as are the counts


def test_several_trainings_share_a_line_beside_the_paper(small: Path) -> None:
    path = small / QUESTIONS_BELOW / "float32" / "norm" / "fgsm" / "vgg16.json"
    record = json.loads(path.read_text())
    for seed, accuracy in enumerate((0.25, 0.75), start=1):
        again = record | {"seed": seed, "accuracy": accuracy}
        path.with_name(f"again-{seed}.json").write_text(json.dumps(again))
    section = build_sections(read_run(small))[0]
    axes = draw_comparison(section).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == len(section.tables) + len(section.cells) - 2
    line = axes.get_yticks()[names.index(f"{record['row']}, {record['column']}")]
    dots = [place for one in axes.lines if one.get_marker() == "o" for place in zip(*one.get_data(), strict=True)]
    assert len(dots) == len(section.cells)
    assert {accuracy: at - line for accuracy, at in dots if abs(at - line) < 0.5} == pytest.approx(
        {record["accuracy"]: -0.22, 0.25: 0, 0.75: 0.22}
    )
