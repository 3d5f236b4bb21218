"""Temperature and calibration measures against closed forms and scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from redhanded.attributors import measure_calibration
from redhanded.attributors.calibration import BINS, fit_temperature, with_temperature


def honest(count: int, classes: int = 3, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    """Probabilities, and classes drawn with just these."""
    generator = torch.Generator().manual_seed(0)
    log_proba = (spread * torch.randn(count, classes, generator=generator, dtype=torch.float64)).log_softmax(1)
    return log_proba, torch.multinomial(log_proba.exp(), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("too_sure", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_was_done(too_sure: float) -> None:
    log_proba, labels = honest(20_000)
    exaggerated = (log_proba * too_sure).log_softmax(1)
    temperature = fit_temperature(exaggerated, labels)
    assert temperature == pytest.approx(too_sure, rel=0.05)
    torch.testing.assert_close(with_temperature(exaggerated, temperature), log_proba, rtol=0.1, atol=0.1)
    before, after = (measure_calibration(with_temperature(exaggerated, t), labels, t).ece for t in (1.0, temperature))
    assert after < 0.015
    assert before > 0.08 or too_sure == 1.0


def test_nothing_held_out_changes_nothing() -> None:
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1.0


def test_measures_agree_with_scikit_learn() -> None:
    log_proba, labels = honest(500)
    found = measure_calibration(log_proba, labels, 1.0)
    proba = log_proba.double().exp().numpy()
    assert found.cllr == pytest.approx(log_loss(labels.numpy(), proba) / math.log(3), rel=1e-6)
    each = [brier_score_loss(labels.numpy() == place, proba[:, place]) for place in range(3)]
    assert found.brier == pytest.approx(sum(each), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_saying_nothing_costs_one(classes: int) -> None:
    nothing = torch.full((10, classes), -math.log(classes))
    found = measure_calibration(nothing, torch.arange(10) % classes, 1.0)
    assert (found.cllr, found.ece) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))


def test_sure_and_wrong_is_the_worst_and_stays_finite() -> None:
    sure = torch.tensor([[0.0, -torch.inf]] * 4)
    found = measure_calibration(sure, torch.ones(4, dtype=torch.int64), 1.0)
    assert (found.ece, found.brier) == (1.0, 2.0)
    assert 1 < found.cllr < math.inf


def test_the_bins_hold_every_image_once() -> None:
    log_proba, labels = honest(1000)
    found = measure_calibration(log_proba, labels, 1.0)
    assert sum(part.n for part in found.reliability) == 1000
    assert len(found.reliability) <= BINS
    confidence, named = log_proba.exp().max(1)
    assert sum(part.n * part.accuracy for part in found.reliability) == pytest.approx((named == labels).sum().item())
    assert sum(part.n * part.confidence for part in found.reliability) == pytest.approx(confidence.sum().item())
    certain = measure_calibration(torch.tensor([[0.0, -torch.inf]]), torch.tensor([0]), 1.0)  # 1.0 is in the last bin
    assert [(part.n, part.confidence, part.accuracy) for part in certain.reliability] == [(1, 1.0, 1.0)]
