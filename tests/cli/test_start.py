"""What a command waits for before it starts: the modules that it imports, each in a process of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redhanded.cli import catalogue
from redhanded.cli.catalogue import CATALOGUE, WRITTEN, rows_of

REDHANDED = Path(sys.executable).with_name("redhanded")
_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| *(\S+)$", re.MULTILINE)
# What a verdict has no use for, and what PyTorch imports where something is computed in an unusual way.
NOT_FOR_A_VERDICT = (
    *("redhanded.engine", "redhanded.report", "redhanded.attributors.openset", "redhanded.sets.adversarial_set"),
    *("scipy.stats", "scipy.optimize", "scipy.ndimage", "sklearn", "pandas", "mlxtend", "zarr", "jinja2"),
    *("stix2", "fastapi", "uvicorn"),
    *("pytorch_ood", "crepes", "torchvision", "torch._dynamo", "torch._inductor", "torch.onnx", "sympy"),
)
LIGHT = ("torch", "numpy", "scipy", "PIL", "safetensors")  # what a command that computes nothing does without


def imported(command: Sequence[object], **variables: str) -> set[str]:
    """The modules that a process imports, while it does its work too."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"} | variables
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(_IMPORTED.findall(done.stderr))


def those_of(modules: set[str], packages: Sequence[str]) -> set[str]:
    """The modules that are one of the packages or lie below one."""
    return {name for name in modules if any(f"{name}.".startswith(f"{package}.") for package in packages)}


@pytest.fixture
def image(bundle: Path, tmp_path: Path) -> Path:
    """Of the shape that the bundle is for, as an 8-bit file."""
    _, height, width = json.loads((bundle / "bundle.json").read_text())["shape"]
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)).save(path)
    return path


def test_a_verdict_waits_for_nothing_that_it_has_no_use_for(image: Path, bundle: Path) -> None:
    found = imported([REDHANDED, "attribute", image, "--bundle", bundle])
    assert {"torch", "safetensors", "pydantic"} <= found
    assert those_of(found, (*NOT_FOR_A_VERDICT, "matplotlib")) == set()


@pytest.mark.slow
def test_matplotlib_comes_with_a_picture_alone(image: Path, bundle: Path, tmp_path: Path) -> None:
    found = imported([REDHANDED, "attribute", image, "--bundle", bundle, "--pictures", tmp_path / "pictures"])
    assert "matplotlib.figure" in found
    assert those_of(found, NOT_FOR_A_VERDICT) == set()


@pytest.mark.parametrize(
    "words", [["--help"], ["attribute", "--help"], *(["list", topic] for topic in CATALOGUE)], ids=" ".join
)
def test_what_computes_nothing_does_without_torch(words: list[str]) -> None:
    found = imported([REDHANDED, *words])
    assert "typer" in found
    assert those_of(found, LIGHT) == set()


def test_the_catalogue_is_what_the_tables_say() -> None:
    written = json.loads(WRITTEN.read_text("utf-8"))
    assert written == {topic: list(rows()) for topic, rows in CATALOGUE.items()}, "run: python docs/generate.py"


def test_a_row_of_a_third_party_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [EntryPoint("mine", "a:b", group)])
    monkeypatch.setitem(CATALOGUE, "attacks", lambda: iter([{"attack": "mine"}]))
    assert rows_of("attacks") == [{"attack": "mine"}]


def test_a_library_that_is_not_there_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["toolchain"]: row for row in rows_of("toolchains")}
    assert rows["redhanded"]["installed"][0].isdigit()
    missing = {"toolchain": "x", "library": "no-such-library", "install": "pip install x"}
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [EntryPoint("mine", "a:b", group)])
    monkeypatch.setitem(CATALOGUE, "toolchains", lambda: iter([missing]))
    assert rows_of("toolchains") == [{"toolchain": "x", "installed": "no: pip install x"}]


def completed(*words: str) -> list[str]:
    """What bash offers behind these words, the last of which is not whole, with the script that redhanded gives it."""
    script = f"""
        source <(_REDHANDED_COMPLETE=source_bash {REDHANDED})
        COMP_WORDS=({" ".join(words)} "") COMP_CWORD={len(words) - 1}
        $(complete -p redhanded | grep -o -- '-F [^ ]*' | cut -c 4-) {REDHANDED}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.slow
def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("redhanded", "attr") == ["attribute"]
    assert completed("redhanded", "list", "at") == ["attacks", "attributors"]
    assert completed("redhanded", "attribute", "--bu") == ["--bundle"]
    assert completed("redhanded", "run", "chec") == ["checkpoints"]
    assert completed("redhanded", "attack", "--attack", "deep") == ["deepfool"]


@pytest.mark.parametrize(
    ("shell", "says"), [("bash", "complete -o"), ("zsh", "#compdef redhanded"), ("fish", "complete -")]
)
def test_every_shell_gets_its_script(shell: str, says: str) -> None:
    environment = os.environ | {"_REDHANDED_COMPLETE": f"source_{shell}"}
    assert says in subprocess.run([REDHANDED], capture_output=True, text=True, env=environment).stdout


def test_completion_does_without_torch() -> None:
    found = imported([REDHANDED], _REDHANDED_COMPLETE="complete_bash", COMP_WORDS="redhanded list at", COMP_CWORD="2")
    assert "redhanded.cli.main" in found
    assert those_of(found, LIGHT) == set()
