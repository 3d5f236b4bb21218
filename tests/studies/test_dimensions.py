"""What sets are called in the dimensions of an answer."""

import pytest

from redhanded.attacks import ATTACKS, BIM, FGSM, PGD, AttackSpec, Clean, DeepFool, family_named, titles_named
from redhanded.sets import NO_VICTIM, SetRef
from redhanded.studies import DIMENSIONS, SetEntry, told_apart


def entries(*attacks: AttackSpec) -> dict[str, SetEntry]:
    refs = [SetRef(NO_VICTIM if ATTACKS[attack.family].control else "vgg16", attack) for attack in attacks]
    return {ref.name: SetEntry.of(ref) for ref in refs}


@pytest.mark.parametrize("family", ATTACKS)
def test_a_family_is_named_as_one_of_its_kind_with_the_same_settings(family: str) -> None:
    named = family_named(family)
    row, other = ATTACKS[family], ATTACKS[named]
    assert family_named(named) == named
    assert (row.kind, row.spec.setting_names) == (other.kind, other.spec.setting_names)
    assert row.spec.model_fields["norm"].annotation == other.spec.model_fields["norm"].annotation
    assert row.title in titles_named(named).split(" or ")


def test_what_no_image_tells_apart_has_one_name() -> None:
    assert titles_named("pgd") == "PGD or BIM"
    assert [titles_named(name) for name in ("fgsm", "elf")] == ["FGSM", "elf"]
    pgd, bim = entries(PGD(eps=0.1), BIM(eps=0.1)).values()
    assert pgd == bim
    assert (bim.family, bim.label) == ("pgd", "pgd-linf-eps=0.1")


def test_kinds_are_told_apart_where_attacks_are_of_several() -> None:
    several = told_apart(entries(Clean(), FGSM(eps=0.1), PGD(eps=0.1), BIM(eps=0.2), DeepFool()))
    assert {name: len(sets) for name, sets in several["kind"].items()} == {
        "none": 1,
        "single step": 1,
        "iterative in a ball": 2,
        "minimal norm": 1,
    }
    assert list(several["family"]) == ["clean", "fgsm", "pgd", "deepfool"]
    one = told_apart(entries(Clean(), FGSM(eps=0.1), FGSM(norm="l2", eps=0.1)))
    assert "kind" not in one  # a control has none: it is told from an attack by another dimension
    assert "adversarial" in one


def test_a_family_is_of_one_kind_in_every_name_of_a_set() -> None:
    names = list(DIMENSIONS)
    assert names.index("adversarial") < names.index("kind") < names.index("family")
    for entry in entries(FGSM(eps=0.1), BIM(eps=0.1), DeepFool()).values():
        assert DIMENSIONS["kind"].name_of(entry) == ATTACKS[DIMENSIONS["family"].name_of(entry)].kind
