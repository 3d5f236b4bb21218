"""What a package that is installed beside this one adds by entry points, in processes that find it on their path."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
import torch

from redhanded.core import PluginWarning, Table, plugins, read_record
from redhanded.sets import SetCard
from redhanded.studies import Result
from support.plugin_package import POINTS, UNUSABLE, install
from support.tiny_study import write_source, write_study

pytestmark = pytest.mark.slow

Command = Callable[..., subprocess.CompletedProcess[str]]
PYTHON = (sys.executable, "-c")
REDHANDED = (sys.executable, "-m", "redhanded")
MODEL = """
import torch

def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 3)).eval()
"""
CNN6 = "cnn6 = { width = 0.125, training = { epochs = 6, batch_size = 32, learning_rate = 1e-2, attempts = 2 } }"
QUARTERS = "quarters = { training = { epochs = 2, batch_size = 32, learning_rate = 1e-2, attempts = 1 } }"
CW = '[[attacks]]\nfamily = "carlini_wagner"\nlearning_rate = [0.1, 0.5]\nconfidence = 0.1\n'
CW_BUDGET = "carlini_wagner = { steps = 10, binary_search_steps = 2, initial_const = 1.0, abort_early = false }\n"
BLEND = '[[attacks]]\nfamily = "blend"\neps = [0.3, 0.4]\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site") / "packages", "faded", POINTS)


def started(site: Path, *command: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    words, changed = [str(word) for word in command], {"PYTHONPATH": path, "COLUMNS": "300"}
    return subprocess.run(words, capture_output=True, text=True, timeout=600, env=os.environ | changed)


def done(site: Path, *command: object) -> str:
    ended = started(site, *command)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


COMMANDS = """
import json, sys
from redhanded.cli.main import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["redhanded", *words]
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code)
"""
IMPORTED = """
import sys

for first in ("faded", "redhanded.attacks", "redhanded.attributors", "redhanded.sets"):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("faded", "redhanded")]:
        del sys.modules[name]  # as in a new process, but that the libraries are there
    __import__(first)
    from redhanded.attacks import ATTACKS
    from redhanded.attributors import ATTRIBUTORS
    import faded
    print(first, ATTACKS["blend"] is faded.BLEND, ATTRIBUTORS["quarters"] is faded.QUARTERS)
"""
CHECKED = """
from redhanded.testing import check_attack, check_attributor
from faded import BLEND, Blend
check_attack(Blend(eps=0.25))
training = {"epochs": 8, "batch_size": 32, "learning_rate": 0.05}
check_attributor("quarters", {"training": training})
try:
    check_attack(Blend(), BLEND._replace(uses_gradient=True))
except AssertionError as error:
    print(error)
"""
NEXT = "\nprint('--- next')\n"


LISTS = [["list", "attacks"], ["list", "attributors"]]


@pytest.fixture(scope="module")
def told(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines that each script prints, one after the other in one process; the commands attack a model as well."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "model.py").write_text(MODEL)
    pixels = np.random.default_rng(0).random((6, 1, 16, 16), dtype=np.float32)
    np.savez(folder / "images.npz", images=pixels, labels=np.arange(6) % 3)
    attack = ["attack", "--victim", f"{folder}/model.py:make_model", "--images", f"{folder}/images.npz"]
    attack += ["--out", f"{folder}/out", "--attack", "blend(eps=0.25)"]
    script = NEXT.join([IMPORTED, COMMANDS, CHECKED])
    parts = done(site, *PYTHON, script, json.dumps([*LISTS, attack])).split("--- next\n")
    return {name: part.splitlines() for name, part in zip(("imported", "commands", "checked"), parts, strict=True)}


def first_words(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line[:1].strip()]


def test_whatever_is_imported_first_their_rows_are_there(told: dict[str, list[str]]) -> None:
    names = ("faded", "redhanded.attacks", "redhanded.attributors", "redhanded.sets")
    assert told["imported"] == [f"{first} True True" for first in names]


def test_their_row_is_listed_after_ours(told: dict[str, list[str]]) -> None:
    names = first_words(told["commands"])
    first, second, _ = (place for place, name in enumerate(names) if name == "ended")
    assert (names[first - 1], names[second - 1]) == ("blend", "quarters")
    assert first > 5
    assert second - first > 5


def test_their_rows_keep_our_laws_and_a_broken_one_is_told(told: dict[str, list[str]]) -> None:
    assert told["checked"] == [
        "blend(norm=linf, eps=0.3): gradients are asked for by those that say so alone; "
        "expected uses_gradient=False in the row"
    ]


def test_their_attack_is_run_on_ones_own_model(told: dict[str, list[str]]) -> None:
    assert told["commands"].count("ended with 0") == 3
    assert "blend-linf-eps=0.25" in first_words(told["commands"])


def test_a_study_asks_their_attributor_about_their_attack(site: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "bars.npz")
    one_victim = ('other = { architecture = "alexnet", seed = 1 }\n', "")
    narrow = "other = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }\n"
    changes = [one_victim, (narrow, ""), (CW, BLEND), (CW_BUDGET, ""), (CNN6, QUARTERS)]
    study = write_study(tmp_path / "tiny.toml", *changes, ('"setting", "norm", "joint"', '"setting"'))
    command = ["run", study, "--source", f"bars={source}", "--out", tmp_path / "run", "--workers", 2]
    ended = started(site, *REDHANDED, *command)
    assert ended.returncode == 0, ended
    results = tmp_path / "run" / "results"
    records = [read_record(Result, path) for path in sorted((results / "questions").rglob("*.json"))]
    assert {record.attributor for record in records} == {"quarters"}
    assert any("blend" in record.question for record in records)
    cards = [read_record(SetCard, path) for path in (results / "sets").rglob("*.json")]
    assert any(card.attack.startswith("blend") for card in cards)
    assert "Blend" in (tmp_path / "run" / "report" / "report.md").read_text()


def test_what_cannot_be_used_is_left_out_with_a_line_each(tmp_path: Path) -> None:
    site = install(tmp_path / "packages", "odd", UNUSABLE | {"redhanded.attributors": POINTS["redhanded.attributors"]})
    ended = started(site, *PYTHON, COMMANDS, json.dumps(LISTS))
    assert ended.stdout.count("ended with 0") == 2
    names = first_words(ended.stdout.splitlines())
    start = "redhanded: warning: redhanded.attacks: left out"
    assert ended.stderr.splitlines() == [
        f"{start} 'bland' of odd (faded:BLEND): expected an entry point of its row's name, 'blend'",
        f"{start} 'fgsm' of odd (faded:BLEND): expected a name of its own, found one that is taken",
        f"{start} 'gone' of odd (no_such_module:ROW): No module named 'no_such_module'",
        f"{start} 'missing' of odd (faded:NOTHING): module 'faded' has no attribute 'NOTHING'",
        f"{start} 'quarters' of odd (faded:QUARTERS): expected a row of the type AttackKind, found AttributorKind",
    ]
    assert {"deepfool", "quarters"} <= set(names)
    assert "blend" not in names


def test_entry_points_are_read_once_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("pi", "math:pi", "numbers"), EntryPoint("tau", "math:tau", "others")])
    asked: list[bool] = []
    monkeypatch.setattr(plugins, "_entry_points", lambda: asked.append(True) or points)
    table = Table("numbers", float, lambda row: "pi" if row > 3 else "e", {"e": 2.718})
    assert not asked
    assert list(table) == ["e", "pi"]
    assert (table["pi"], len(table), len(asked)) == (torch.pi, 2, 1)
    other = Table("others", float, lambda row: "", {})
    with pytest.warns(PluginWarning, match=r"^others: left out 'tau' of an unknown package \(math:tau\): expected an"):
        assert not other
