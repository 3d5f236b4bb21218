"""The README and the other pages: their numbers are the records', their code runs, their links and names exist."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

from redhanded.cli import app
from redhanded.data import load_source
from redhanded.questions import build_questions
from redhanded.report.paper import printed_numbers
from redhanded.results import Result, RunCard, SetCard, read_record, read_records
from redhanded.study import Study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
KEPT = ROOT / "docs" / "results"
RUNS = sorted(path.parent for path in KEPT.glob("*/run.json"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
ROWS = {"CIFAR-10": "cifar10", "MNIST": "mnist"}  # in the README's table: name -> kept run
NORMS = {"L2": "algorithm-l2", "Linf": "algorithm-linf"}
VICTIMS = {"alexnet": "AlexNet", "vgg16": "VGG16", "resnet50": "ResNet50"}


def headline() -> str:
    """The README's table of the algorithm question, made from the kept records."""
    lines = [f"| C&W, DeepFool or FGSM? | {' | '.join(VICTIMS.values())} |", "|---|---|---|---|"]
    counts = []
    for source, run in ROWS.items():
        results = {
            result.question: result
            for result in read_records(Result, KEPT / run / "results" / "questions")
            if result.pixels == "float32" and result.attributor == "cnn6"
        }
        for norm, question in NORMS.items():
            cells = [results[f"{question}/{victim}"] for victim in VICTIMS]
            counts += [cell.n_test for cell in cells]
            lines.append(f"| {source}, {norm} | {' | '.join(map(_cell, cells))} |")
    caption = (
        f"Accuracy in per cent with its 95 % interval; chance is 33.3. n = {min(counts)} to {max(counts)} test images "
        "a class, float32 pixels, blind, one seed, narrow networks (laptop scale)."
    )
    return "\n".join([*lines, "", caption])


def _cell(result: Result) -> str:
    paper = printed_numbers(result.source)[result.question].accuracy
    if result.accuracy is None or result.interval is None or result.status != "measured":
        return f"{result.status}; paper {100 * paper:.0f}"
    low, high = result.interval
    return f"**{100 * result.accuracy:.1f}** ({100 * low:.1f}–{100 * high:.1f}); paper {100 * paper:.0f}"


def test_the_headline_is_the_records() -> None:
    assert headline() in README, f"put this table into README.md:\n{headline()}"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_kept_run_is_whole(run: Path) -> None:
    card = read_record(RunCard, run / "run.json")
    assert card.finished
    assert len(read_records(SetCard, run / "results" / "sets")) == 2 * 63
    study = Study.model_validate(card.study)
    asked = build_questions(study.questions, study.grid, study.paper)
    wanted = {(question.id, pixels) for question in asked for pixels in study.pixels}
    answered = {(result.question, result.pixels) for result in read_records(Result, run / "results" / "questions")}
    assert wanted == answered
    assert not list(run.rglob("*.safetensors"))
    assert not list(run.rglob("*.zarr"))


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
