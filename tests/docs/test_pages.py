"""The README and the other pages: their numbers are the records', their code runs, their links and names exist."""

import json
import re
import shlex
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
import typer
from torch import nn

from redhanded.bundle import find_bundles
from redhanded.cli.main import app
from redhanded.core import read_record
from redhanded.data import load_source
from redhanded.engine import PACKED, RunCard, read_run_records
from redhanded.engine.packed import RunRecords
from redhanded.report.paper import printed_numbers
from redhanded.sets import GALLERY_FILE
from redhanded.studies import Study, build_questions

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
KEPT = ROOT / "docs" / "results"
RUNS = sorted(path.parent for path in KEPT.glob("*/run.json"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = {"cifar10": "CIFAR-10", "mnist": "MNIST"}  # in the README's table
ASKED = {
    "algorithm": ("table2", "table3"),
    "victim": ("table4", "table4"),
    "setting": ("table5", "table6"),
    "norm": ("table7", "table8"),
}
COLUMNS = {
    "cnn6": "its network on our sets",
    "forensic": "**forensic**, blind",
    "joined": "**joined**, victims asked",
}
STAR = "\\*"
FORMS = {"float32": "float", "uint8": "8 bits"}


@cache
def records_of(run: Path) -> RunRecords:
    """What is kept of a run."""
    return read_run_records(run)


def headline() -> str:
    """The README's table, from what was made of the kept records."""
    numbers = json.loads((KEPT / "summary.json").read_text())
    lines = [f"| which | the paper | {' | '.join(COLUMNS.values())} |", f"|---|--:|{'--:|' * len(COLUMNS)}"]
    counts, seeds = [], []
    for place, (source, title) in enumerate(SOURCES.items()):
        for asked, tables in ASKED.items():
            found = [numbers[source][tables[place]].get(name, {}).get("float32") for name in COLUMNS]
            counts += [one["n_test_min"] for one in found if one]
            seeds += [one["seeds"] for one in found if one]
            cells = " | ".join(percent(one) if one else "—" for one in found)
            lines.append(f"| {title}: {asked}? | {100 * paper_mean(source, tables[place]):.1f} | {cells} |")
    trainings = " to ".join(str(count) for count in sorted({min(seeds), max(seeds)}))
    caption = (
        f"Mean accuracy over the cells of a table in per cent, float32 pixels, narrow networks (laptop scale), "
        f"{trainings} trainings of each attributor; at least {min(counts)} test images a class."
    )
    left_out = f" {STAR} leaves out cells in which it collapsed or had too few images."
    return "\n".join([*lines, "", caption + left_out * any(STAR in line for line in lines)])


def in_the_wild() -> str:
    """The README's second table, from the cards of the bundles that come with the package."""
    asked = {"adversarial": "attacked?", "kind": "kind?", "family": "family?", "norm": "norm?", "victim": "victim?"}
    lines = [f"| the package's bundles, blind | {' | '.join(asked.values())} |", f"|---|{'--:|' * len(asked)}"]
    counts = []
    for bundle in find_bundles():
        for part in bundle.card.parts:
            cells = [f"{100 * part.measured[name].accuracy:.1f} of {part.measured[name].classes}" for name in asked]
            counts.append(part.measured["family"].n)
            lines.append(f"| {SOURCES[bundle.card.source]}, {FORMS[part.pixels]} | {' | '.join(cells)} |")
    caption = (
        "Mean recall in per cent, every name counting the same, and how many names there are; settings drawn from "
        "ranges, fresh images and draws, victims that the training knew; "
        f"{min(counts):,} to {max(counts):,} test images a row."
    )
    return "\n".join([*lines, "", caption])


def percent(one: dict[str, Any]) -> str:
    """A mean, starred where it is not that of all cells."""
    return f"{100 * one['mean']:.1f}" + STAR * bool(one["without_number"])


def paper_mean(source: str, item: str) -> float:
    """Over the printed numbers that stand beside a question of ours."""
    asked = {result.question for result in records_of(KEPT / source).results if result.item == item}
    printed = printed_numbers(source)
    return fmean(printed[question].accuracy for question in asked if question in printed)


def test_the_headline_is_the_records() -> None:
    assert headline() in README, f"put this table into README.md:\n{headline()}"


def test_the_second_table_is_that_of_the_shipped_bundles() -> None:
    assert in_the_wild() in README, f"put this table into README.md:\n{in_the_wild()}"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_kept_run_answers_every_question(run: Path) -> None:
    card = read_record(RunCard, run / "run.json")
    unfinished = "(not finished)" in (run / "report" / "report.md").read_text()
    assert card.finished != unfinished  # more seeds may be wanted than there are, and it is said
    study = Study.model_validate(card.study)
    made = len(study.victims) * len(study.attacks) + len(study.controls)
    records = records_of(run)
    assert len(records.sets) == 2 * made
    asked = build_questions(study.questions, study.grid, study.paper)
    wanted = {(question.id, pixels) for question in asked for pixels in study.pixels}
    answered = {(result.question, result.pixels) for result in records.results}
    assert wanted == answered
    assert {path.name for path in run.iterdir()} <= {"run.json", PACKED, GALLERY_FILE, "report"}  # no weights, no sets


def test_what_is_kept_stays_small() -> None:
    sizes = [path.stat().st_size for path in KEPT.rglob("*") if path.is_file() and not drawn_anew(path)]
    assert sum(sizes) < 8_000_000


def drawn_anew(path: Path) -> bool:
    """Whether a file is one of those that `redhanded report` adds, which git ignores."""
    return path.name in ("report.html", "results.csv") or path.suffix == ".svg"


def test_the_code_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    digits = load_source("mnist5k").test
    torch.manual_seed(0)
    names = {
        "my_classifier": nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        "images": torch.from_numpy(digits.images[:40]).float() / 255,
        "labels": torch.from_numpy(digits.labels[:40]),
    }
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, names)  # noqa: S102 (our own page)
    assert [line.split("(")[0] for line in capsys.readouterr().out.splitlines()] == [
        "fgsm",
        "deepfool",
        "carlini_wagner",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_of_the_readme_exist() -> None:
    commands = typer.main.get_command(app).commands
    lines = [line.split("#")[0] for line in README.splitlines() if re.match(r"(\.venv/bin/)?redhanded ", line)]
    assert len(lines) >= 6
    for line in lines:
        name, *words = shlex.split(line)[1:]
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_the_tree_names_every_module() -> None:
    package = ROOT / "src" / "redhanded"
    tree = README.split("## The tree")[1]
    modules = [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    folders = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert [name for name in modules + folders if name not in tree] == []


def test_targets_of_the_makefile_are_named() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"quickstart", "test", "check"} <= set(targets)
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= set(targets)
