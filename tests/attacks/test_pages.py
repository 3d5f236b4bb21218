"""The pages on attacks: the one is what the table says, and the example of the other runs."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import redhanded
from redhanded.attacks import ATTACKS, AttackKind

DOCS = Path(__file__).parents[2] / "docs"
ADDING = (DOCS / "add-an-attack.md").read_text()
WRITTEN: Callable[[], str] = runpy.run_path(str(DOCS / "generate.py"))["attacks_page"]


def section(family: str) -> str:
    return re.findall(rf"^## `{family}`\n(.*?)(?=^## |\Z)", WRITTEN(), re.MULTILINE | re.DOTALL)[0]


def test_the_page_is_what_its_generator_writes() -> None:
    assert (DOCS / "attacks.md").read_text() == WRITTEN().rstrip() + "\n", "run: python docs/generate.py"


def test_every_attack_has_a_section_in_the_order_of_the_table() -> None:
    assert re.findall(r"^## `(\w+)`$", WRITTEN(), re.MULTILINE) == list(ATTACKS)


def test_a_section_has_the_formula_the_parameters_and_the_sources() -> None:
    pgd, deepfool, noise = section("pgd"), section("deepfool"), section("gaussian_noise")
    assert pgd.startswith("`redhanded.attacks.PGD`, in tables PGD: steps along the gradient inside a ball")
    assert "`x <- clip(x0 + project(x + step_size * direction - x0), 0, 1)`" in pgd
    assert "| `norm` | `linf` | `l2`, `linf` | of the ball |\n| `eps` | `8/255 (l2: 1.0)` | > 0 | radius of the " in pgd
    assert "| `step_size` | `2.5 * eps / steps` | > 0 | size of a step in `norm` |\n" in pgd
    assert "| `random_start` | True | True, False | begin at a random point and not at the image |\n" in pgd
    assert "| `seed` | 0 | whole, >= 0 | decides the point |\n\n- Defaults: `eps` is torchattacks' " in pgd
    assert "\n- Paper: Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models" in pgd
    assert "\n- Ours differs: the l2 start is uniform in the ball, " in pgd
    assert "Args:" not in pgd
    assert re.search(r"\| `candidates` \| None \| None or whole, >= 2 \| most likely .*; a shortcut \|\n", deepfool)
    assert "Ours differs" not in noise


@pytest.mark.parametrize("family", ATTACKS)
def test_a_row_tells_what_its_section_needs(family: str) -> None:
    row = ATTACKS[family]
    assert all(field.description for field in row.spec.model_fields.values())
    assert ("\n- Defaults: " in section(family)) is (len(row.spec.setting_names) > 0)
    assert bool(row.differs) is not row.control
    assert row.title.strip() == row.title != ""


@pytest.mark.parametrize("family", ATTACKS)
def test_the_kind_of_an_attack_is_what_its_parameters_show(family: str) -> None:
    row = ATTACKS[family]
    in_a_ball, steps = "eps" in row.spec.model_fields, "steps" in row.spec.model_fields
    kinds = {
        (True, True, False): "single step",
        (True, True, True): "iterative in a ball",
        (True, False, True): "minimal norm",
        (False, True, True): "random search",
    }
    shown = "control" if row.summary.startswith("control: ") else kinds[row.uses_gradient, in_a_ball, steps]
    assert row.kind == shown
    assert f"\n- Kind: {row.kind}.\n" in section(family)


def test_titles_are_told_apart_and_the_papers_are_as_it_has_them() -> None:
    titles = {family: row.title for family, row in ATTACKS.items()}
    assert len(set(titles.values())) == len(titles)
    assert [titles[family] for family in ("carlini_wagner", "deepfool", "fgsm")] == ["C&W", "DeepFool", "FGSM"]


def test_the_example_is_an_attack_after_two_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    module, row, checks = re.findall(r"```python\n(.*?)```", ADDING, re.DOTALL)
    names: dict[str, Any] = {"__name__": "redhanded.attacks.blend", "AttackKind": AttackKind}
    exec(module, names)  # noqa: S102 (our own page)
    ((name, kind),) = eval(f"{{{row}}}", names).items()  # noqa: S307
    images, labels = torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.int64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        model[1].weight.mul_(1e-3)
        model[1].bias.copy_(torch.tensor([2.0, 0]))
    spec, expected = names["Blend"](), images + (0.5 - images).clamp(-0.1, 0.1)
    with pytest.raises(redhanded.errors.AttackError, match="found blend; toolchains that have it: none"):
        spec(model.eval(), images, labels)
    monkeypatch.setitem(ATTACKS, name, kind)
    torch.testing.assert_close(spec(model, images, labels).images, expected)
    exec(checks.partition("check_attributor(")[0], names)  # noqa: S102
    (made,) = redhanded.generate(model, images, labels, [spec])
    assert spec.label == "blend-linf-eps=0.1"
    assert made.attacked.all()
    torch.testing.assert_close(made.images, expected)
