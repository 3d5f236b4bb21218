"""What a newcomer sees of `import redhanded`: the same names in every way of looking, and nothing loaded too early."""

import ast
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

import redhanded

STUB = Path(redhanded.__file__).with_suffix(".pyi")
KINDS = (
    "Images and sources",
    "Attacks and adversarial sets",
    "Attributors",
    "Studies and results",
    "Bundles and verdicts",
)
USE = """
from typing import Any
import redhanded
from redhanded.attacks import DDN

model: Any
images: Any
labels: Any
sets = redhanded.generate(model, images, labels, [redhanded.FGSM(norm="l2"), DDN(steps=50)])
reveal_type(sets)
reveal_type(redhanded.fit(sets))
reveal_type(redhanded.load_study("quick"))
reveal_type(redhanded.Examiner.load)
redhanded.nothing
"""

# What other libraries' names are is not asked here, and to read them takes longer than all of ours.
SETTINGS = """
[mypy]
follow_imports = silent
ignore_missing_imports = True

[mypy-torch.*,numpy.*,zarr.*,typer.*,rich.*,PIL.*]
follow_imports = skip
"""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_dir_all_and_the_stub_name_the_same() -> None:
    tree = ast.parse(STUB.read_text())
    (listed,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    fresh = ast.literal_eval(python("import redhanded; print([dir(redhanded), redhanded.__all__])"))
    assert fresh == [sorted(listed)] * 2
    assert imported == set(listed)
    assert dir(redhanded) == sorted(listed)


def test_about_sixteen_names_beside_the_rooms() -> None:
    rooms = {path.name for path in STUB.parent.iterdir() if (path / "__init__.py").exists()} | {"errors", "testing"}
    assert len(set(redhanded.__all__) - rooms) <= 17
    assert rooms - set(redhanded.__all__) == {"cli"}  # a program, no room to import from


def test_the_door_is_opened_without_torch() -> None:
    code = "import sys, redhanded; dir(redhanded); print({'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    assert python(code) == "set()\n"


def test_help_names_the_five_kinds_of_object() -> None:
    text = pydoc.plain(pydoc.render_doc(redhanded))
    assert [kind for kind in KINDS if f"    {kind}\n" in text] == list(KINDS)
    for name in ("class FGSM(", "class Examiner(", "generate(", "run_study(", "testing"):
        assert name in text


@pytest.mark.parametrize("name", [name for name in redhanded.__all__ if name[0].isupper()])
def test_the_docstring_of_the_door_or_of_the_name_says_what_it_is(name: str) -> None:
    assert len((getattr(redhanded, name).__doc__ or "").split()) > 4


@pytest.mark.slow
def test_a_type_checker_sees_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = tmp_path / "use.py"
    snippet.write_text(USE)
    monkeypatch.setenv("MYPYPATH", str(STUB.parents[1]))
    settings = tmp_path / "mypy.ini"
    settings.write_text(SETTINGS)
    out, _, _ = api.run([f"--config-file={settings}", f"--cache-dir={tmp_path}/cache", str(snippet)])
    said = [line.split(": ", 1)[1] for line in out.splitlines() if "use.py:" in line]
    revealed = [line.split('"')[1] for line in said if "Revealed type" in line]
    assert [text.removeprefix("builtins.") for text in revealed[:3]] == [
        "list[redhanded.sets.adversarial_set.AdversarialSet]",
        "redhanded.attributors.estimator.AttackClassifier",
        "redhanded.studies.spec.Study",
    ]
    assert "redhanded.verdicts.examine.Examiner" in revealed[3]
    errors = [line for line in said if line.startswith("error")]
    assert errors == ['error: Module has no attribute "nothing"  [attr-defined]']
