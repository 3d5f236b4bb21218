import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from redhanded.engine import read_run_records
from redhanded.errors import RunError
from redhanded.report import percent, write_report
from redhanded.report.paper import printed_numbers
from redhanded.report.run import read_run
from redhanded.report.tables import build_sections
from support.report_run import (
    COLLAPSED,
    QUESTIONS_BELOW,
    TOO_FEW,
    Page,
    change,
    html,
    make_run,
    markdown,
    sheet,
)

pytestmark = pytest.mark.slow


def holm_by_hand(values: list[float]) -> list[float]:
    """Adjusted p of the i-th smallest: the largest over j <= i of (m - j) p_j, at most 1."""
    ranked = sorted(range(len(values)), key=values.__getitem__)
    adjusted = [0.0] * len(values)
    for place, index in enumerate(ranked):
        steps = [(len(values) - j) * values[ranked[j]] for j in range(place + 1)]
        adjusted[index] = min(1.0, max(steps))
    return adjusted


def test_every_number_stands_in_all_three(run: Path, page: Page) -> None:
    text = markdown(run)
    rows = {(row["question"], row["pixels"]): row for row in sheet(run)}
    results = read_run_records(run).results
    assert len(rows) == len(results) == 86
    names = {"figure5": "Figure 5", "joint": "Joint", "attack-and-setting": "Algorithm and setting"}
    for result in results:
        row = rows[result.question, result.pixels]
        name = names.get(result.item, result.item.replace("table", "Table "))
        cells = page.cells(f"{name}:", f"{result.pixels} pixels")
        if result.accuracy is None:
            assert row["accuracy"] == row["p_holm"] == row["difference"] == ""
            assert result.status in cells
            continue
        assert result.interval
        shown = [percent(result.accuracy), f"{percent(result.interval[0])}–{percent(result.interval[1])}"]
        assert float(row["accuracy"]) == result.accuracy
        assert float(row["p_value"]) == result.p_value
        assert json.loads(row["confusion"]) == result.confusion
        assert re.search(rf"{shown[0]} (✓|n\.s\.) {shown[1]}", cells), (result.question, result.pixels)
        assert re.search(rf"\*\*{shown[0]}\*\* (✓|n\.s\.) \({shown[1]}\)", text), result.question


def test_without_a_number_there_is_a_word(run: Path, page: Page) -> None:
    rows = {(row["question"], row["pixels"]): row["status"] for row in sheet(run)}
    assert rows[COLLAPSED] == "collapsed"
    assert rows[TOO_FEW] == "too few images"
    cells = page.cells("Table 6:", "float32")
    assert "collapsed weak" not in cells
    assert "collapsed paper 49.0 · chance 33.3 n 200 paired |" in cells
    assert "**collapsed**<br>paper 49.0, chance 33.3<br>n 200 paired |" in markdown(run)


def test_holm_is_recomputed_over_each_table(run: Path) -> None:
    tables: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in sheet(run):
        if row["status"] == "measured":
            tables[row["pixels"], row["item"]].append(row)
    assert len(tables) == 14
    for rows in tables.values():
        expected = holm_by_hand([float(row["p_value"]) for row in rows])
        assert [float(row["p_holm"]) for row in rows] == pytest.approx(expected, abs=0, rel=1e-12)
        assert [row["above_chance"] for row in rows] == [str(p < 0.05) for p in expected]


@pytest.mark.usefixtures("undrawn")
def test_the_mark_follows_the_p_value(small: Path) -> None:
    for question in ("norm/deepfool/alexnet", "norm/deepfool/vgg16", "norm/fgsm/alexnet", "norm/fgsm/vgg16"):
        change(small, question, lambda record: record.update(p_value=0.9))
    marks = []
    for p in (0.0126, 0.0124):  # four cells: Holm's bound for the smallest is 0.0125
        change(small, "norm/fgsm/vgg16", lambda record, p=p: record.update(p_value=p))
        write_report(small)
        marks.append(Page(html(small)).cells("Table 8:", "float32").count("✓"))
        assert markdown(small).split("## uint8")[0].split("## float32")[1].count("✓") == marks[-1]
    assert marks == [0, 1]


def test_protocols_are_never_mixed(run: Path, page: Page) -> None:
    for section in build_sections(read_run(run)):
        for table in section.tables:
            for cell in table.cells:
                result = cell.result
                found = (result.pixels, result.source, result.attributor, result.knowledge)
                assert found == tuple(table.protocol) == tuple(section.protocol)
    captions = [table["caption"] for table in page.tables if "attributor" in table["caption"]]
    assert len(captions) == 22  # seven items, two of them per class too, two with counts; two protocols
    for caption in captions:
        assert ("float32" in caption) != ("uint8" in caption)
        assert "attributor cnn6, blind" in caption


@pytest.mark.usefixtures("undrawn")
def test_knowledge_protocols_stand_apart(small: Path) -> None:
    path = small / QUESTIONS_BELOW / "float32" / "norm" / "fgsm" / "vgg16.json"
    record = json.loads(path.read_text()) | {"knowledge": "oracle"}
    path.with_name("oracle.json").write_text(json.dumps(record))
    write_report(small)
    oracle = next(t["caption"] for t in Page(html(small)).tables if "oracle" in t["caption"])
    assert "oracle (upper bound, not a result)" in oracle
    assert "blind" not in oracle
    assert len(build_sections(read_run(small))) == 3


PAPER_PLACES = [
    (
        "cifar10",
        "algorithm-linf/vgg16",
        ["table2_cifar10_algorithm", "cw_l2|deepfool_linf|fgsm_linf", "vgg16", "accuracy"],
    ),
    (
        "mnist",
        "algorithm-l2/alexnet",
        ["table3_mnist_algorithm", "cw_l2|deepfool_l2|fgsm_l2", "alexnet", "accuracy"],
    ),
    ("mnist5k", "victim/deepfool-l2", ["table4_model", "mnist", "deepfool_l2"]),
    ("cifar10", "victim/carlini_wagner-l2", ["table4_model", "cifar10", "cw_l2"]),
    ("cifar10", "setting/fgsm-linf/resnet50", ["table5_cifar10_hyperparameter", "fgsm_linf", "resnet50"]),
    ("mnist5k", "setting/carlini_wagner-l2/vgg16", ["table6_mnist_hyperparameter", "cw_l2", "vgg16"]),
    ("mnist5k", "learning-rate/carlini_wagner-l2/vgg16", ["table6_mnist_hyperparameter", "cw_l2", "vgg16"]),
    ("cifar10", "norm/fgsm/resnet50", ["table7_cifar10_norm", "fgsm", "resnet50", "accuracy"]),
    ("mnist", "norm/deepfool/alexnet", ["table8_mnist_norm", "deepfool", "alexnet", "accuracy"]),
]


@pytest.mark.parametrize(("source", "question", "place"), PAPER_PLACES)
def test_the_papers_numbers(source: str, question: str, place: list[str]) -> None:
    number = json.loads(files("redhanded.report").joinpath("paper_results.json").read_text())
    for key in place:
        number = number[key]
    assert printed_numbers(source)[question].accuracy == number


def test_the_papers_numbers_stand_beside_the_right_cells(run: Path) -> None:
    paper = {row["question"]: row["paper"] for row in sheet(run) if row["pixels"] == "uint8"}
    expected = {
        "algorithm-l2/resnet50": "0.73",
        "algorithm-linf/vgg16": "1.0",
        "victim/fgsm-l2": "0.87",
        "setting/deepfool-linf/vgg16": "0.94",
        "setting/carlini_wagner-l2/alexnet": "0.46",
        "learning-rate/carlini_wagner-l2/alexnet": "0.46",
        "confidence/carlini_wagner-l2/alexnet": "",
        "norm/fgsm/resnet50": "0.99",
        "attack-and-victim": "",
        "joint": "",
    }
    assert {question: paper[question] for question in expected} == expected
    cells = [cell for section in build_sections(read_run(run)) for cell in section.cells]
    one = next(cell for cell in cells if cell.result.question == "algorithm-l2/alexnet")
    assert {line.name: line.paper for line in one.classes} == {
        "carlini_wagner": 0.93,
        "deepfool": 0.61,
        "fgsm": 0.44,
    }


def test_per_class_norms_are_not_swapped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", source="cifar10", kinds=["norm"])
    cells = [cell for section in build_sections(read_run(run)) for cell in section.cells]
    one = next(cell for cell in cells if cell.result.question == "norm/fgsm/resnet50")
    assert {line.name: line.paper for line in one.classes} == {"l2": 0.4, "linf": 1.0}


@pytest.mark.usefixtures("undrawn")
def test_a_source_outside_the_paper_stands_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", source="fashion", names=["alexnet", "vgg16"], kinds=["algorithm"])
    assert printed_numbers("fashion") == {}
    write_report(run)
    assert "the paper's numbers are" not in html(run)
    assert {row["paper"] for row in sheet(run)} == {""}


def damage_shape(run: Path) -> None:
    change(run, "norm/fgsm/vgg16", lambda record: record.update(confusion=[[1, 2]]))


def damage_number(run: Path) -> None:
    change(run, "norm/fgsm/vgg16", lambda record: record.update(p_value=None))


def damage_key(run: Path) -> None:
    change(run, "norm/fgsm/vgg16", lambda record: record.update(surprise=1))


def cut_short(run: Path) -> None:
    path = run / QUESTIONS_BELOW / "uint8" / "norm" / "fgsm" / "vgg16.json"
    path.write_bytes(path.read_bytes()[:200])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run.json": (
        lambda run: (run / "run.json").unlink(),
        r"expected a RunCard at .*run\.json, found no file",
    ),
    "no results": (lambda run: shutil.rmtree(run / QUESTIONS_BELOW), "expected results below .*, found none"),
    "no victim": (lambda run: (run / "results/victims/vgg16.json").unlink(), "VictimCard for vgg16"),
    "no set": (lambda run: shutil.rmtree(run / "results/sets/vgg16"), "SetCard for vgg16/deepfool-l2"),
    "cut short": (cut_short, r"expected a record in JSON in .*vgg16\.json"),
    "unknown key": (damage_key, "surprise"),
    "no p-value": (damage_number, r"measured result for norm/fgsm/vgg16 .* found no p_value"),
    "crooked": (damage_shape, "found a confusion of sides"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_told_in_one_line(small: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(small)
    with pytest.raises(RunError, match=message) as caught:
        write_report(small)
    assert "\n" not in str(caught.value)
    assert not (small / "report").exists()
