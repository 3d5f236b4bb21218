"""The pages on attacks: what they say of the table is so, and their example runs."""

import re
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic.fields import FieldInfo
from torch import nn

import redhanded
from redhanded.attacks import ATTACKS, AttackKind
from redhanded.attacks.toolchains import TOOLCHAINS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "attacks.md").read_text()
ADDING = (DOCS / "add-an-attack.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def default(field: FieldInfo) -> str:
    """As the page writes it: text in code, numbers and names of Python as they are."""
    if field.is_required():
        return "required"
    return f"`{field.default}`" if isinstance(field.default, str) else str(field.default)


def allowed(field: FieldInfo) -> str:
    """The range as the page writes it, from the type and the limits."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return " or ".join(
        ", ".join([*_kind(kind), *limits * (kind is not type(None))]) for kind in _kinds(field.annotation)
    )


def _kinds(annotation: Any) -> list[Any]:
    kinds = get_args(annotation) if get_origin(annotation) is UnionType else [annotation]
    return sorted(kinds, key=lambda kind: kind is not type(None))


def _kind(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [f"`{value}`" for value in get_args(kind)]
    return {type(None): ["None"], bool: ["True", "False"], int: ["whole"], float: []}[kind]


def test_every_attack_has_a_section_in_the_order_of_the_table() -> None:
    assert list(SECTIONS) == list(ATTACKS)


@pytest.mark.parametrize("family", ATTACKS)
def test_a_section_tells_every_parameter_with_its_default_and_range(family: str) -> None:
    fields = {name: field for name, field in ATTACKS[family].spec.model_fields.items() if name != "toolchain"}
    expected = [f"| `{name}` | {default(field)} | {allowed(field)} | " for name, field in fields.items()]
    lines = [line for line in SECTIONS[family].splitlines() if line.startswith("| `")]
    assert [re.match(r"(\| [^|]*){3}\| ", line)[0] for line in lines] == expected
    assert all(len(line.split(" | ")[3]) > 4 for line in lines)


@pytest.mark.parametrize("family", ATTACKS)
def test_a_section_names_paper_and_reference_and_shortcuts(family: str) -> None:
    row, section = ATTACKS[family], SECTIONS[family]
    assert f"\nPaper: {row.paper}.\n" in section
    assert f"\nReference: {row.reference}.\n" in section
    assert ("\nOurs differs: " in section) is not row.control
    assert section.startswith("A control: ") is row.control
    marked = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `") and "shortcut" in line}
    assert marked == set(row.spec.shortcut_names)


def test_the_page_tells_what_each_toolchain_runs() -> None:
    runs = {name: ", ".join(f"`{family}`" for family in row.runs) for name, row in TOOLCHAINS.items()}
    runs["redhanded"] = "all of them"
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.split("\n## `")[0], re.MULTILINE) == list(runs.items())
    assert list(TOOLCHAINS["redhanded"].runs) == list(ATTACKS)


def test_the_example_is_an_attack_after_two_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    module, row = re.findall(r"```python\n(.*?)```", ADDING, re.DOTALL)
    names: dict[str, Any] = {"__name__": "redhanded.attacks.blend", "AttackKind": AttackKind}
    exec(module, names)  # noqa: S102 (our own page)
    ((name, kind),) = eval(f"{{{row}}}", names).items()  # noqa: S307
    monkeypatch.setitem(ATTACKS, name, kind)
    images, labels = torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.int64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        model[1].weight.mul_(1e-3)
        model[1].bias.copy_(torch.tensor([2.0, 0]))
    spec = names["Blend"](eps=0.1)
    (made,) = redhanded.generate(model.eval(), images, labels, [spec])
    assert spec.label == "blend-linf-eps=0.1"
    assert made.attacked.all()
    torch.testing.assert_close(made.images, images + (0.5 - images).clamp(-0.1, 0.1))
