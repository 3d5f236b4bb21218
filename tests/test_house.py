"""The doors of the rooms, and what every table must say; `lint-imports` holds the order of the rooms."""

import ast
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import redhanded
from redhanded.attacks import ATTACKS
from redhanded.attacks.toolchains import TOOLCHAINS
from redhanded.attributors import ATTRIBUTORS, DETECTORS
from redhanded.cli.catalogue import CATALOGUE
from redhanded.data import PIXELS, SOURCES
from redhanded.models import VICTIMS
from redhanded.models.checks import CHECKS
from redhanded.sets import SET_EXPORTS
from redhanded.studies import QUESTIONS

PACKAGE = Path(redhanded.__file__).parent
ROOMS = ["redhanded", *(f"redhanded.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.pyi")))]


def names_of_modules(package: Path) -> set[str]:
    """Of all modules and inner packages below a package."""
    return {path.stem for path in package.rglob("*") if path.suffix == ".py" or (path / "__init__.py").exists()}


def test_the_house_has_at_most_fourteen_rooms() -> None:
    entries = {path for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    rooms = {path.name for path in entries if path.is_dir()}
    assert len(rooms) <= 14, rooms
    assert {path.name for path in entries} - rooms == {"errors.py", "testing.py", "py.typed"}


def test_no_module_is_named_after_nothing() -> None:
    assert names_of_modules(PACKAGE).isdisjoint({"utils", "util", "helpers", "helper", "common", "misc", "tools"})


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_leads_to_what_it_names(room: str) -> None:
    door = import_module(room)
    assert door.__all__
    for name in door.__all__:
        assert getattr(door, name) is not None
        # Whether a submodule was imported before must not decide what such a name means.
        assert room == "redhanded" or name not in names_of_modules(Path(door.__file__).parent)
    with pytest.raises(AttributeError, match=r"no .*attribute.* 'nothing'|No .*nothing"):
        _ = door.nothing


@pytest.mark.parametrize("room", ROOMS)
def test_a_stub_lists_what_its_door_shows(room: str) -> None:
    door = import_module(room)
    tree = ast.parse(Path(door.__file__).with_suffix(".pyi").read_text())
    (listed,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert sorted(listed) == sorted(door.__all__)


def test_every_attack_can_be_had_from_its_door() -> None:
    names = {kind.spec.__name__ for kind in ATTACKS.values()}
    assert names <= set(import_module("redhanded.attacks").__all__)


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


@pytest.mark.parametrize("name", SET_EXPORTS)
def test_every_export_says_what_it_writes(name: str) -> None:
    assert SET_EXPORTS[name].__doc__


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
