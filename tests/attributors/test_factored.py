"""Attributors whose answer has parts: each part learned from all sets that share it, numbers as densities."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from redhanded.attacks import BIM, FGSM, PGD, AttackSpec, Choice, Clean, DeepFool, GaussianNoise, LogUniform, Uniform
from redhanded.attributors import Attributor, Factored, FactoredAsked
from redhanded.attributors.described import Described
from redhanded.attributors.factored import FactoredSettings
from redhanded.attributors.layout import BINS, Layout, NumberHead
from redhanded.attributors.statistics import image_statistics
from redhanded.errors import RunError
from redhanded.sets import NO_VICTIM, Samples, generate
from redhanded.sets.card import SetRef

SETTINGS = FactoredSettings.model_validate(
    {"width": 0.5, "training": {"epochs": 12, "batch_size": 64, "learning_rate": 1e-2}}
)


def lattice(count: int, seed: int, side: int = 16) -> torch.Tensor:
    """Smooth pictures of 256 levels, (count, 3, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return ((0.2 + 0.6 * smooth) * 255).round() / 255


def set_of(images: torch.Tensor, spec: AttackSpec, seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What a caricature of an attack makes of images, and what each drew: signs of one size, or noise."""
    drawn = spec.drawn(torch.arange(len(images)), seed)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator)
    if isinstance(spec, FGSM):
        images = images + torch.as_tensor(drawn.eps).float().reshape(-1, 1, 1, 1) * noise.sign()
    elif not isinstance(spec, Clean):
        images = images + 0.004 * noise
    values = {name: value for name, value in drawn if isinstance(value, torch.Tensor)}
    return images.clamp(0, 1), values


def samples_of(sets: list[SetRef], count: int, seed: int) -> Samples:
    parts = [set_of(lattice(count, seed), ref.attack, seed + place) for place, ref in enumerate(sets)]
    names = {name for _, values in parts for name in values}
    nothing = torch.full((count,), torch.nan, dtype=torch.float64)
    return Samples(
        images=torch.cat([images for images, _ in parts]),
        labels=torch.arange(len(sets)).repeat_interleave(count),
        classes=tuple(ref.name for ref in sets),
        index=torch.arange(count).repeat(len(sets)),
        sets=tuple(sets),
        parameters={name: torch.cat([values.get(name, nothing) for _, values in parts]) for name in names},
    )


DRAWN = FGSM(eps=LogUniform(0.002, 0.1))
SETS = [SetRef("one", DRAWN), SetRef("two", DRAWN), SetRef(NO_VICTIM, Clean()), SetRef("one", DeepFool())]


def test_statistics_are_nothing_between_levels_for_what_stands_on_them() -> None:
    on, off = (image_statistics(images) for images in (lattice(5, 1), lattice(5, 1) + 0.3 / 255))
    assert torch.equal(on[:, :118], on[:1, :118].expand(5, -1))  # whatever the picture shows
    assert (on[:, :118] != off[:, :118]).any(0).sum() > 60


def test_statistics_see_a_step_of_one_size() -> None:
    """A step of one size leaves one distance from the levels, noise of the same size many."""
    images, signs = lattice(8, 2), torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(3)).sign()
    step = image_statistics(images + 0.3 / 255 * signs)
    noise = image_statistics(images + 0.3 / 255 * signs * torch.rand(signs.shape) ** 0.5)
    spread = slice(32, 32 + 31)  # the gaps between quantiles, as logarithms
    assert step[:, spread].median() < -3.5 < -2.5 < noise[:, spread].median()


def test_statistics_find_the_sizes_that_most_pixels_moved_by() -> None:
    """Two thirds of the values move by .3 of a grey level, a third by .2; a few do not."""
    images = lattice(4, 8)
    size = torch.where(torch.rand(images.shape, generator=torch.Generator().manual_seed(9)) < 2 / 3, 0.3, 0.2)
    size[:, :, 0, 0] = 0
    sign = torch.randn(images.shape, generator=torch.Generator().manual_seed(10)).sign()
    found = image_statistics(images + size * sign / 255)[:, 106:118].unflatten(1, (3, 2, 2))  # (n, widths, atoms, 2)
    torch.testing.assert_close(found[:, :, :, 0].mean((0, 1)), torch.tensor([2 / 3, 1 / 3]), rtol=0, atol=0.05)
    torch.testing.assert_close(found[:, 1:, :, 1].mean((0, 1)), torch.tensor([0.3, 0.2]), rtol=0, atol=0.01)


def test_statistics_do_not_hang_on_the_size_of_the_image() -> None:
    image = (
        lattice(1, 4, 32) + 0.2 / 255 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    ).clamp(0, 1)
    tiled = torch.cat([torch.cat([image, image], 2)] * 2, 3)
    one, four = image_statistics(image), image_statistics(tiled)
    assert one.shape == four.shape
    assert (one - four).abs().median() < 2e-3


def test_statistics_of_a_batch_are_those_of_each() -> None:
    images = lattice(7, 6) * 0.999
    assert torch.equal(image_statistics(images)[3:4], image_statistics(images[3:4]))
    assert image_statistics(images[:, :1]).shape[1] < image_statistics(images).shape[1]  # grey: no colours to compare


@given(st.floats(1e-4, 1), st.floats(1.5, 1e3), st.booleans(), st.floats(0, 1))
def test_a_bin_holds_its_values(low: float, ratio: float, logarithmic: bool, share: float) -> None:
    head = NumberHead(attack=0, name="eps", low=low, high=low * ratio, logarithmic=logarithmic)
    value = torch.tensor([low + share * low * (ratio - 1)], dtype=torch.float64)
    place = head.bin_of(value)
    certain = torch.full((1, BINS), -torch.inf).scatter(1, place[:, None], 0.0)
    ends = [head.quantile(certain, part).item() for part in (1e-9, 1 - 1e-9)]
    assert ends[0] * (1 - 1e-6) <= value.item() <= ends[1] * (1 + 1e-6)


def test_a_quantile_of_an_even_density_is_the_ranges() -> None:
    even = torch.full((3, BINS), -np.log(BINS))
    linear = NumberHead(attack=0, name="a", low=2.0, high=6.0, logarithmic=False)
    logarithmic = NumberHead(attack=0, name="a", low=0.01, high=1.0, logarithmic=True)
    for share in (0.05, 0.5, 0.95):
        torch.testing.assert_close(linear.quantile(even, share), torch.full((3,), 2 + 4 * share, dtype=torch.float64))
        expected = torch.full((3,), 0.01 * 100**share, dtype=torch.float64)
        torch.testing.assert_close(logarithmic.quantile(even, share), expected)


@pytest.mark.parametrize("logarithmic", [True, False])
def test_the_share_of_a_range_is_what_an_even_density_has_between(logarithmic: bool) -> None:
    head = NumberHead(attack=0, name="a", low=0.01, high=1.0, logarithmic=logarithmic)
    even = torch.full((1, BINS), -np.log(BINS))
    for low, high in ((0.05, 0.95), (0.2, 0.3), (0.0, 1.0)):
        between = head.share_between(head.quantile(even, low), head.quantile(even, high))
        assert between.item() == pytest.approx(high - low)


def test_a_layout_says_what_is_learned_of_each_image() -> None:
    grid = [SetRef("one", FGSM(norm="l2", eps=eps)) for eps in (0.5, 2.0)]
    sets = [*SETS, *grid, SetRef("two", FGSM(norm="linf", eps=Choice(0.01, 0.02)))]
    samples = samples_of(sets, 3, 7)
    layout = Layout.of(samples)
    assert layout.attacks == (("fgsm", "linf"), ("clean", "none"), ("deepfool", "l2"), ("fgsm", "l2"))
    assert layout.victims == ("one", "two")
    heads = {(head.attack, head.name): head for head in layout.heads}
    assert heads.keys() == {(0, "eps"), (3, "eps")}  # DeepFool has one overshoot alone
    assert (heads[0, "eps"].low, heads[0, "eps"].high, heads[0, "eps"].logarithmic) == (0.002, 0.1, True)
    assert (heads[3, "eps"].low, heads[3, "eps"].high) == (0.5, 2.0)
    targets = layout.targets(samples)
    assert targets[:, 0].tolist() == [0] * 6 + [1] * 3 + [2] * 3 + [3] * 6 + [0] * 3
    assert targets[:, 1].tolist() == [0] * 3 + [1] * 3 + [-1] * 3 + [0] * 9 + [1] * 3
    assert targets[:, 2].tolist() == [0] * 6 + [-1] * 3 + [0] * 12  # our own code
    assert torch.equal(targets[:, 3] >= 0, targets[:, 0] == 0)
    assert targets[12:18, 4].tolist() == [0] * 3 + [BINS - 1] * 3
    assert layout.attack_shares == pytest.approx([1 / 3 * 3 / 5, 1 / 3, 1 / 3, 1 / 3 * 2 / 5])  # families alike
    assert layout.shares[0] == pytest.approx(1 / 3 * 3 / 5 * 4 / 6)
    assert layout.shares[2] == pytest.approx(1 / 3)
    drawn = samples.parameters["eps"][:3]
    assert torch.equal(targets[:3, 3], heads[0, "eps"].bin_of(drawn))


def test_sets_that_no_image_tells_apart_are_one_attack() -> None:
    specs = (BIM(eps=0.1), PGD(eps=0.3), PGD(norm="l2", eps=1.0))
    layout = Layout.of(samples_of([SetRef("one", spec) for spec in specs], 2, 7))
    assert layout.attacks == (("pgd", "linf"), ("pgd", "l2"))
    assert layout.attack_of == (0, 0, 1)
    assert [(head.attack, head.name, head.low, head.high) for head in layout.heads] == [(0, "eps", 0.1, 0.3)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attack_of": (0, 0, 1, 9)}, "a place outside of its table"),
        ({"victim_of": (0, 1, -2, 0)}, "a place outside of its table"),
        ({"fixed": ({},)}, "classes of different numbers"),
        ({"heads": ({"attack": 0, "name": "eps", "low": 1.0, "high": 1.0, "logarithmic": False},)}, "without bins"),
        ({"heads": ({"attack": 0, "name": "eps", "low": 0.0, "high": 1.0, "logarithmic": True},)}, "without bins"),
        ({"heads": ({"attack": 0, "name": "eps", "low": 0.0, "high": 1e999, "logarithmic": False},)}, "finite number"),
        ({"heads": ({"attack": 7, "name": "eps", "low": 0.0, "high": 1.0, "logarithmic": False},)}, "outside of its"),
        ({"attacks": ()}, "at least 1 item"),
    ],
)
def test_a_layout_that_does_not_hold_together_is_refused(changed: dict[str, object], message: str) -> None:
    layout = Layout.of(samples_of(SETS, 1, 1)).model_dump()
    with pytest.raises(ValidationError, match=message):
        Layout.model_validate(layout | changed)


def test_a_card_without_a_layout_or_with_that_of_others_is_refused(fitted: Factored, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    path = tmp_path / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"layout": None}))
    with pytest.raises(RunError, match="expected a layout in the card of factored, found none"):
        Attributor.load(tmp_path)
    path.write_text(json.dumps(card | {"classes": card["classes"][:-1]}))
    with pytest.raises(RunError, match="a layout of other classes"):
        Attributor.load(tmp_path)


@pytest.fixture(scope="module")
def fitted() -> Factored:
    return Factored(SETTINGS, 1).fit(samples_of(SETS, 300, 10))


def test_numbers_that_no_set_has_are_estimated(fitted: Factored) -> None:
    fresh = samples_of(SETS, 100, 50)
    estimate = fitted.estimates(fitted.answer(fresh).features)["fgsm", "linf", "eps"]
    rows = fresh.labels < 2
    truth = fresh.parameters["eps"][rows]
    assert ((estimate.value[rows] - truth).abs() / truth).median() < 0.3
    assert ((estimate.low[rows] <= truth) & (truth <= estimate.high[rows])).double().mean() > 0.6
    assert torch.all(estimate.low <= estimate.value)
    assert torch.all(estimate.value <= estimate.high)


def test_what_sets_share_is_learned_from_all_of_them(fitted: Factored) -> None:
    """The victims of the caricature cannot be told apart, so both have half of what the attack has."""
    answers = fitted.predict_log_proba(samples_of(SETS, 60, 70)).exp()
    attack = torch.stack([answers[:, :2].sum(1), answers[:, 2], answers[:, 3]], 1)
    truth = torch.arange(len(SETS)).repeat_interleave(60).sub(1).clamp_min(0)
    assert (attack.argmax(1) == truth).double().mean() > 0.95
    assert (answers[:60, 0] - answers[:60, 1]).abs().median() < 0.5


def test_a_grid_shares_an_attack_by_the_density_at_its_values() -> None:
    grid = [SetRef("one", FGSM(eps=eps)) for eps in (0.004, 0.02, 0.09)]
    fitted = Factored(SETTINGS, 2).fit(samples_of([*grid, SetRef(NO_VICTIM, Clean())], 200, 20))
    fresh = samples_of([*grid, SetRef(NO_VICTIM, Clean())], 60, 90)
    assert (fitted.predict_log_proba(fresh).argmax(1) == fresh.labels).double().mean() > 0.9


def test_estimates_survive_the_disk(fitted: Factored, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    back = Attributor.load(tmp_path)
    assert isinstance(back, Factored)
    fresh = samples_of(SETS, 5, 30)
    features = fitted.answer(fresh).features
    for name, estimate in fitted.estimates(features).items():
        for one, other in zip(estimate, back.estimates(features)[name], strict=True):
            assert torch.equal(one, other)


def test_images_of_one_setting_are_surer_together(fitted: Factored) -> None:
    images, _ = set_of(lattice(40, 60), FGSM(eps=0.03), 60)
    features = fitted.answer(Samples(images, torch.zeros(40, dtype=torch.int64), fitted.classes_)).features
    alone, (value, low, high) = (
        fitted.estimates(features, together=together)["fgsm", "linf", "eps"] for together in (False, True)
    )
    assert len(value) == 1
    assert (high - low).item() < (alone.high - alone.low).median()
    assert abs(value.item() / 0.03 - 1) < 0.35


def networks(count: int) -> dict[str, nn.Module]:
    made = {}
    for seed in range(count):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = (nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))
        made[f"v{seed}"] = nn.Sequential(*layers).eval().requires_grad_(False)
    return made


def attacked_by(victims: dict[str, nn.Module], count: int, seed: int) -> Samples:
    images, index, sets, parts, eps = lattice(count, seed), torch.arange(count), [], [], []
    attack = FGSM(eps=Uniform(0.0005, 0.0018))
    for name, victim in victims.items():
        labels = victim(images).argmax(1)
        (made,) = generate(victim, images, labels, [attack], seed=seed)
        sets.append(SetRef(name, attack))
        parts.append(made.images)
        eps.append(made.parameters["eps"])
    sets.append(SetRef(NO_VICTIM, GaussianNoise()))
    parts.append(
        (images + 0.001 * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)
    )
    return Samples(
        images=torch.cat(parts),
        labels=torch.arange(len(sets)).repeat_interleave(count),
        classes=tuple(ref.name for ref in sets),
        index=index.repeat(len(sets)),
        victims=victims,
        sets=tuple(sets),
        parameters={"eps": torch.cat([*eps, torch.full((count,), torch.nan, dtype=torch.float64)])},
    )


@pytest.fixture(scope="module")
def asked() -> FactoredAsked:
    return FactoredAsked(SETTINGS, 3).fit(attacked_by(networks(4), 200, 40))


def test_the_victim_is_named_among_any_candidates_in_any_order(asked: FactoredAsked) -> None:
    fresh = attacked_by(networks(4), 60, 80)
    answers = asked.predict_log_proba(fresh)
    attacks = fresh.labels < 4
    assert (answers.argmax(1) == fresh.labels)[attacks].double().mean() > 0.8
    turned = replace(fresh, victims=dict(reversed(fresh.victims.items())))
    torch.testing.assert_close(asked.predict_log_proba(turned), answers, rtol=0, atol=1e-4)


def scores_of(asked: FactoredAsked, samples: Samples) -> torch.Tensor:
    everyone = torch.arange(len(samples.victims)).expand(len(samples.images), -1)
    return asked.outputs(asked.ask(Described.of(samples.images, samples.victims, everyone))[0]).scores


def test_a_victim_that_no_training_saw_is_found_among_the_candidates(asked: FactoredAsked) -> None:
    victims = networks(6)
    strangers = attacked_by({"v5": victims["v5"]}, 60, 81)
    shown = replace(strangers, victims={name: victims[name] for name in ("v1", "v5", "v3")})
    scores = scores_of(asked, shown)
    named = scores[:60].argmax(1)
    assert (named == 1).double().mean() > 0.7
    absent = replace(strangers, victims={name: victims[name] for name in ("v1", "v3")})
    scores = scores_of(asked, absent)
    assert (scores[:60].argmax(1) == 2).double().mean() > 0.7  # none of them


def test_known_victims_that_are_not_asked_share_what_is_left(asked: FactoredAsked) -> None:
    fresh = attacked_by(networks(4), 40, 82)
    without = replace(fresh, victims={name: fresh.victims[name] for name in ("v1", "v2")})
    answers = asked.predict_log_proba(without).exp()
    torch.testing.assert_close(answers.sum(1), torch.ones(len(answers)), rtol=0, atol=1e-5)
    of_first = answers[:40]  # those of v0, which is not asked
    assert (of_first[:, 0] + of_first[:, 3] > of_first[:, 1] + of_first[:, 2]).double().mean() > 0.7
