"""The page of results and summary.json are made from the kept records, and hold their numbers."""

import json
import lzma
import re
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from redhanded.cli.main import main
from redhanded.core import read_record, write_record
from redhanded.engine import PACKED, RunCard, read_run_records
from redhanded.errors import RunError
from redhanded.report import write_summary
from redhanded.report.paper import printed_numbers
from redhanded.studies import Result
from support.report_run import make_run

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parents[2] / "docs" / "results"
MADE = ("README.md", "summary.json")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of the kept runs, without what is made from them."""
    folder = tmp_path_factory.mktemp("kept") / "results"
    shutil.copytree(KEPT, folder, ignore=shutil.ignore_patterns("report", *MADE))
    write_summary(folder)
    return folder


@pytest.fixture(scope="module")
def results() -> dict[str, list[Result]]:
    """The records of kept runs."""
    return {name: read_run_records(KEPT / name).results for name in ("cifar10", "mnist")}


@pytest.mark.parametrize("name", MADE)
def test_what_is_kept_is_what_the_records_give(copied: Path, name: str) -> None:
    remedy = "run `redhanded summary docs/results`"
    assert (KEPT / name).read_text() == (copied / name).read_text(), remedy


@pytest.mark.parametrize(("table", "cells"), [("table5", 21), ("table7", 6)])
def test_a_mean_is_that_of_the_tables_cells(
    copied: Path, results: dict[str, list[Result]], table: str, cells: int
) -> None:
    numbers = json.loads((copied / "summary.json").read_text())
    asked = [
        result
        for result in results["cifar10"]
        if (result.item, result.attributor, result.pixels) == (table, "cnn6", "float32")
    ]
    by_question: dict[str, list[float | None]] = defaultdict(list)  # -> the accuracy of each training
    for result in asked:
        by_question[result.question].append(result.accuracy if result.status == "measured" else None)
    means = {
        question: fmean(value for value in each if value is not None)
        for question, each in by_question.items()
        if None not in each
    }
    found = numbers["cifar10"][table]["cnn6"]["float32"]
    assert found["cells"] == len(by_question) == cells
    assert found["seeds"] == min(map(len, by_question.values()))
    assert found["without_number"] == cells - len(means)
    assert found["mean"] == pytest.approx(fmean(means.values()))
    assert found["n_test_min"] == min(result.n_test for result in asked)
    paper = printed_numbers("cifar10")
    below = [
        round(means.get(question, 0.0), 2) < paper[question].accuracy for question in by_question if question in paper
    ]
    assert found["below_paper"] == sum(below)


def test_the_page_names_every_run_and_table(copied: Path) -> None:
    page = (copied / "README.md").read_text()
    for number in range(2, 9):
        assert f"Table {number}" in page
    for run in KEPT.glob("*/run.json"):
        assert f"[{run.parent.name}]({run.parent.name}/report/report.md)" in page


def test_an_attributor_that_was_asked_a_part_of_a_table_hides_nothing(copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(copied / "mnist", folder / "mnist")
    whole = write_summary(folder).read_text().splitlines()
    packed = folder / "mnist" / PACKED
    records = lzma.decompress(packed.read_bytes()).splitlines(keepends=True)
    left = [line for line in records if not re.match(rb'{"path":"questions/norm/fgsm/.*?/cnn6-float32-', line)]
    assert len(left) < len(records)
    packed.write_bytes(lzma.compress(b"".join(left), preset=0))
    lines = write_summary(folder).read_text().splitlines()
    assert len(lines) == len(whole)
    changed = [(now, before) for now, before in zip(lines, whole, strict=True) if now != before]
    fgsm = [now for now, _ in changed if now.startswith("| FGSM |")]
    assert [" — " in now for now in fgsm] == [True] * 3
    (overview,) = (now for now, _ in changed if now.startswith("| Table 8 | In which"))
    assert "; 3 cells)" in overview
    assert json.loads((folder / "summary.json").read_text())["mnist"]["table8"]["cnn6"]["float32"]["cells"] == 3


def test_a_folder_without_runs_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected runs below .*, found none"):
        write_summary(tmp_path)


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A folder with a whole run and one that was stopped before its first result."""
    make_run(tmp_path / "whole", kinds=["norm"])
    run = make_run(tmp_path / "stopped", kinds=["norm"])
    shutil.rmtree(run / "results" / "questions")
    card = read_record(RunCard, run / "run.json")
    write_record(card.model_copy(update={"finished": False}), run / "run.json")
    return tmp_path


def test_an_unfinished_run_is_named_and_left_out(unfinished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="stopped is unfinished, has no results yet and is left out"):
        page = write_summary(unfinished).read_text()
    assert page.count("| stopped | not finished, and no results yet: left out |") == page.count("stopped") == 1
    numbers = (unfinished / "summary.json").read_text()
    shutil.rmtree(unfinished / "stopped")
    assert write_summary(unfinished).read_text() == "".join(
        line for line in page.splitlines(keepends=True) if not line.startswith("| stopped |")
    )
    assert (unfinished / "summary.json").read_text() == numbers


@pytest.mark.filterwarnings("default")
def test_the_command_names_an_unfinished_run_in_one_line(
    unfinished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(unfinished / "whole")
    monkeypatch.setattr(sys, "argv", ["redhanded", "summary", str(unfinished)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (0, f"{unfinished / 'README.md'}\n")
    warning = f"redhanded: warning: {unfinished / 'stopped'} is unfinished, has no results yet and is left out\n"
    assert told.err == warning


def test_an_unfinished_run_counts_with_the_results_that_it_has(unfinished: Path) -> None:
    shutil.rmtree(unfinished / "stopped")
    whole = write_summary(unfinished).read_text()
    card = read_record(RunCard, unfinished / "whole" / "run.json")
    write_record(card.model_copy(update={"finished": False}), unfinished / "whole" / "run.json")
    page = write_summary(unfinished).read_text()
    assert page.replace(" (not finished)", "") == whole != page


@pytest.mark.parametrize("damage", ["questions gone", "a record cut short"])
def test_a_damaged_run_stops_the_summary_in_one_line(unfinished: Path, damage: str) -> None:
    whole = unfinished / "whole" / "results"
    if damage == "questions gone":  # though its card says that it has ended
        shutil.rmtree(whole / "questions")
    else:
        (whole / "victims" / "vgg16.json").write_text("{")
    with pytest.raises(RunError, match="whole") as caught:
        write_summary(unfinished)
    assert "\n" not in str(caught.value)
    assert not (unfinished / "README.md").exists()


def test_the_page_has_what_is_left_without_size_and_with_several_images(
    copied: Path, results: dict[str, list[Result]]
) -> None:
    found = [
        result
        for result in results["cifar10"]
        if (result.item, result.attributor, result.pixels) == ("table7", "forensic", "float32")
    ]
    assert len({result.question for result in found}) == 6
    sizes = [part for result in found for part in result.by_size]
    actors = [result.pooled for result in found if result.pooled]
    shares = (
        fmean(result.accuracy or 0.0 for result in found),
        sum(part.correct for part in sizes) / sum(part.n for part in sizes),
        sum(part.correct for part in actors) / sum(part.n for part in actors),
    )
    assert " / ".join(f"{100 * share:.1f}" for share in shares) in (copied / "README.md").read_text()


def test_a_mean_says_how_many_places_it_leaves_out(tmp_path: Path) -> None:
    make_run(tmp_path / "run", kinds=["setting"])
    page = write_summary(tmp_path).read_text()
    results = read_run_records(tmp_path / "run").results
    assert sum(one.status != "measured" for one in results) == 1
    assert page.count("without a number)") == page.count("; 1 without a number)") == 1


def test_the_page_names_the_instructions_that_the_numbers_hang_on(tmp_path: Path) -> None:
    make_run(tmp_path / "run", names=["alexnet", "vgg16"], kinds=["norm"])
    assert "| a processor (VECTORS), 2 cores, 8 GB |" in write_summary(tmp_path).read_text()


def test_seen_and_unseen_checkpoints_stand_beside_each_other_and_leave_the_sources_tables_alone(tmp_path: Path) -> None:
    architectures = {"alexnet": "alexnet", "vgg16": "vgg16", "alexnet-1": "alexnet", "vgg16-1": "vgg16"}
    make_run(tmp_path / "alone", source="cifar10", kinds=("victim", "norm"))
    write_summary(tmp_path)
    alone = json.loads((tmp_path / "summary.json").read_text())
    names = {"names": tuple(architectures), "architectures": architectures}
    run = make_run(tmp_path / "checkpoints", source="cifar10", kinds=("architecture",), **names)
    page = write_summary(tmp_path).read_text()
    assert json.loads((tmp_path / "summary.json").read_text()) == alone
    results = read_run_records(run).results
    for attack in ("carlini_wagner-l2", "fgsm-linf"):
        found = {
            one.question.split("/")[2]: one.accuracy
            for one in results
            if one.pixels == "float32" and f"/{attack}/" in one.question
        }
        assert found.keys() == {"seen", "without-1", "without-2"}
        low, high = sorted(100 * (found[place] or 0.0) for place in ("without-1", "without-2"))
        seen = f"{100 * (found['seen'] or 0.0):.1f}"
        line = f"{seen} ({seen}–{seen}) | {(low + high) / 2:.1f} ({low:.1f}–{high:.1f}) |"
        assert line in page


def test_victims_of_one_architecture_in_two_widths_stand_beside_each_other(tmp_path: Path) -> None:
    names = ("resnet50", "resnet50-full")
    make_run(tmp_path / "one-width", source="other", names=names, kinds=("algorithm",))
    assert "narrow" not in write_summary(tmp_path).read_text()
    both = dict.fromkeys(names, "resnet50")
    run = make_run(tmp_path / "widths", source="other", names=names, kinds=("algorithm",), architectures=both)
    page = write_summary(tmp_path).read_text()
    widths = [card.width for card in read_run_records(run).victims]
    assert page.count("## Does narrow carry over?") == len(set(widths)) - 1 == 1
    results = read_run_records(run).results
    for row, pixels in {(result.row, result.pixels) for result in results}:
        here = {one.column: one for one in results if (one.row, one.pixels) == (row, pixels)}
        line = next(line for line in page.splitlines() if line.startswith(f"| {row} | {pixels} | "))
        found = [float(text.split()[0]) for text in line.split("|")[-3:-1]]
        assert found == [round(100 * (here[name].accuracy or 0.0), 1) for name in names]


def test_an_answer_over_all_sets_is_the_mean_over_its_seeds(copied: Path, results: dict[str, list[Result]]) -> None:
    found = [
        result
        for result in results["mnist"]
        if (result.question, result.attributor, result.pixels) == ("joint", "forensic", "float32")
    ]
    assert len(found) == 3
    top1, top3 = (100 * fmean(getattr(result, name) for result in found) for name in ("accuracy", "top3"))
    line = f"| joint | mnist | float32 | forensic | 15 | {found[0].n_test} | 6.7 | {top1:.1f} | {top3:.1f} |"
    assert (copied / "README.md").read_text().count(line) == 1
