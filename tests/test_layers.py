"""The order of the modules: each imports only from those above it in `LAYERS`; and what every table must say."""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import redhanded
from redhanded.attacks import ATTACKS
from redhanded.attacks.toolchains import TOOLCHAINS
from redhanded.attributors import ATTRIBUTORS
from redhanded.catalogue import CATALOGUE
from redhanded.data import SOURCES
from redhanded.exports import EXPORTS
from redhanded.model_checks import CHECKS
from redhanded.networks import VICTIMS
from redhanded.questions import QUESTIONS
from redhanded.unknown import DETECTORS
from redhanded.views import PIXELS

PACKAGE = Path(redhanded.__file__).parent

# Top to bottom; a package is one layer, whose modules may import one another.
LAYERS = (
    *("errors", "norms", "metrics", "identity", "provenance", "results", "packed", "views", "image_files"),
    *("calibration", "sizes", "projection", "attacked"),
    *("data", "networks", "prepare", "weights", "training"),
    "attacks",
    *("victims", "residuals", "advset", "exports", "model_checks"),
    "generation",
    *("choice", "samples", "questions"),
    "attributors",
    *("unknown", "evaluation", "study"),
    "engine",
    *("report", "bundle", "catalogue", "user"),
    "desk",
    "web",
    "bench",
    *("cli", "__main__"),
)
# Imports against the order that stand inside a function, as (module, layer imported), each with its reason.
ALLOWED: dict[tuple[str, str], str] = {}
NO_CODE = ("studies",)  # holds TOML files alone


class Import(NamedTuple):
    module: str
    line: int
    layer: str


def layer_of(module: str) -> str:
    """`attacks.fgsm` -> `attacks`."""
    return module.split(".")[0]


def modules() -> dict[str, Path]:
    """Every module but the package's front door, by its name without `redhanded.`."""
    paths = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    named = {".".join(part for part in name.parts if part != "__init__"): path for name, path in paths.items()}
    return {name: path for name, path in named.items() if name and layer_of(name) not in NO_CODE}


def imported(module: str, code: str, package: bool = False) -> Iterator[Import]:
    """Every layer that a module imports from, wherever in the module the import stands."""
    here = ["redhanded", *module.split("."), *(["__init__"] if package else [])]
    for node in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = [*here[: -node.level], *filter(None, [node.module])] if node.level else [node.module or ""]
            names = [".".join([*origin, alias.name]) for alias in node.names]
        for name in names:
            root, *rest = name.split(".")
            if root == "redhanded" and rest and not rest[0].startswith("__"):
                home = redhanded._HOMES.get(rest[0], f"redhanded.{rest[0]}")
                yield Import(module, node.lineno, layer_of(home.removeprefix("redhanded.")))


def offences(found: Iterator[Import]) -> list[str]:
    return [
        f"{module}, line {line}, imports from {layer}"
        for module, line, layer in found
        if layer != layer_of(module)
        and (module, layer) not in ALLOWED
        and (layer not in LAYERS or LAYERS.index(layer) > LAYERS.index(layer_of(module)))
    ]


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_above(module: str) -> None:
    assert layer_of(module) in LAYERS, f"put {module} into LAYERS, where it belongs"
    path = modules()[module]
    assert offences(imported(module, path.read_text(), path.name == "__init__.py")) == []


@pytest.mark.parametrize(
    ("module", "code", "bad"),
    [
        ("norms", "from redhanded.data import Source", True),
        ("norms", "import redhanded.data", True),
        ("norms", "from redhanded import data", True),
        ("norms", "from redhanded import generation", True),
        ("norms", "from .data import Source", True),
        ("norms", "def f():\n    from redhanded.cli import main", True),
        ("attacks.fgsm", "from ..generation import frozen", True),
        ("norms", "from redhanded.nowhere import x", True),
        ("attacks.fgsm", "from redhanded.attacks.spec import AttackOutput\nfrom .spec import AttackOutput", False),
        ("attacks.fgsm", "from redhanded.norms import norm_of\nfrom redhanded import __version__", False),
        ("cli", "import torch\nfrom torch import nn\nimport redhanded", False),
    ],
)
def test_the_check_sees_every_way_to_import(module: str, code: str, bad: bool) -> None:
    assert bool(offences(imported(module, code))) is bad


def test_every_layer_and_every_exception_exist() -> None:
    found = {layer_of(name) for name in modules()}
    assert set(LAYERS) - found <= {"__main__"}
    assert len(LAYERS) == len(set(LAYERS))
    used = {(each.module, each.layer) for name, path in modules().items() for each in imported(name, path.read_text())}
    assert set(ALLOWED) <= used


def test_no_module_is_named_after_nothing() -> None:
    names = {part for name in modules() for part in name.split(".")}
    assert names.isdisjoint({"utils", "util", "helpers", "helper", "common", "misc", "tools"})


def test_the_front_door_leads_to_what_it_names() -> None:
    assert set(redhanded.__all__) == set(redhanded._HOMES)
    for name, home in redhanded._HOMES.items():
        module = import_module(home)
        assert getattr(redhanded, name) is getattr(module, name)
        assert not isinstance(getattr(redhanded, name), ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'attack'"):
        _ = redhanded.attack


TABLES: dict[str, Mapping[Any, Any]] = {
    "ATTACKS": ATTACKS,
    "ATTRIBUTORS": ATTRIBUTORS,
    "CHECKS": CHECKS,
    "DETECTORS": DETECTORS,
    "PIXELS": PIXELS,
    "QUESTIONS": QUESTIONS,
    "SOURCES": SOURCES,
    "TOOLCHAINS": TOOLCHAINS,
    "VICTIMS": VICTIMS,
}


@pytest.mark.parametrize(("table", "row"), [(table, row) for table, rows in TABLES.items() for row in rows])
def test_every_row_of_a_table_has_text(table: str, row: str) -> None:
    kind = TABLES[table][row]
    for field in {"summary", "paper"} & set(kind._fields):
        text = getattr(kind, field)
        assert text.strip() == text
        assert 5 < len(text) < 200, field
        assert "\n" not in text
    assert "summary" in kind._fields


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_says_what_it_writes(name: str) -> None:
    assert EXPORTS[name].__doc__


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_table_is_in_the_catalogue_row_by_row(name: str) -> None:
    rows = list(CATALOGUE[name]())
    assert [next(iter(row.values())) for row in rows] == list(TABLES[name.upper()] if name != "victims" else VICTIMS)
    assert all(value for row in rows for value in row.values())


@pytest.mark.parametrize("row", ATTACKS)
def test_an_attack_is_listed_under_its_own_name(row: str) -> None:
    assert ATTACKS[row].spec.family == row
    assert set(ATTACKS[row].spec.setting_names) <= set(ATTACKS[row].spec.model_fields)


@pytest.mark.parametrize("row", ATTRIBUTORS)
def test_an_attributor_is_listed_under_its_own_name(row: str) -> None:
    assert ATTRIBUTORS[row].attributor.kind == row
