"""The benchmark of drawn settings compares what it says it compares; how fast either is no test asks."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import drawn
from benchmarks.drawn import DRAWN, _at, _measure, drawn_page
from benchmarks.records import DrawnBench
from redhanded.attacks import FGSM, PGD, LogUniform, Uniform
from redhanded.testing import small_batch, small_network


@pytest.fixture
def subject() -> Any:
    images, labels = small_batch(16, torch.float32)
    few = lambda count: (images[:count], labels[:count])  # noqa: E731
    network = small_network(torch.float32).requires_grad_(False)
    return SimpleNamespace(network=network, images=images, labels=labels, few=few, card=SimpleNamespace(name="toy"))


def test_a_set_of_one_setting_stands_at_a_quantile_of_every_range() -> None:
    attack = PGD(norm="l2", eps=LogUniform(0.1, 10), steps=Uniform(1, 10))
    assert _at(attack, 0.5) == PGD(norm="l2", eps=1.0, steps=6)  # and the step size that follows from both
    assert all(not _at(one, 0.1).ranges for one in DRAWN)


def test_what_both_do_alike_has_a_ratio_of_passes_of_one(subject: Any) -> None:
    row = _measure(subject, FGSM(eps=LogUniform(0.01, 0.2)), rounds=2, batch_size=8)
    assert row.passes == 3  # one forward, one backward, and one to see that the prepared copy agrees
    assert len(row.costs) == len(row.rates) == 2
    for cost, rate in zip(row.costs, row.rates, strict=True):
        assert rate == pytest.approx(1 / cost)  # the same passes, so one is the other's inverse


def test_the_page_is_made_from_the_record(subject: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = _measure(subject, FGSM(eps=LogUniform(0.01, 0.2)), rounds=1, batch_size=16)
    bench = DrawnBench.model_construct(
        command="c", version="v", commit="c", started="s", images=16, batch_size=16, threads=1, source="toy", rows=[row]
    )
    monkeypatch.setattr(drawn, "measured_on", lambda bench: iter(["- machine"]))
    page = drawn_page(bench)
    assert "`fgsm(norm=linf, eps=log_uniform(0.01,0.2))`" in page
    assert "| 3 |" in page
