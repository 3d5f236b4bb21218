"""Novelty scores on features whose geometry is known, and their measures against closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from redhanded.attributors import DETECTORS, CalibrationSet, Prediction, measure_open_set


def cloud(centre: tuple[float, float], count: int, seed: int) -> Tensor:
    return torch.tensor(centre) + 0.3 * torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def answer(features: Tensor) -> Prediction:
    """Classes at (2, 0), (-2, 0) and (0, 2), told apart by the distance to them; the origin is between all."""
    centres = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0]])
    return Prediction((-torch.cdist(features, centres).square()).log_softmax(1), features)


def held_out() -> CalibrationSet:
    labels = torch.arange(300) % 3
    features = torch.stack([cloud(((2.0, 0.0), (-2.0, 0.0), (0.0, 2.0))[k], 1, i)[0] for i, k in enumerate(labels)])
    return CalibrationSet(*answer(features), labels, torch.arange(300))


NO_CONTROLS = torch.zeros(3, dtype=torch.bool)
THIRD_IS_CONTROL = torch.tensor([False, False, True])


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "control"])
@pytest.mark.parametrize("controls", [NO_CONTROLS, THIRD_IS_CONTROL], ids=["no controls", "a control"])
def test_what_lies_between_the_classes_scores_higher_than_what_lies_at_one(name: str, controls: Tensor) -> None:
    score = DETECTORS[name].fit(held_out(), controls)
    usual, strange = score(answer(cloud((2.0, 0.0), 200, 7))), score(answer(cloud((0.0, 0.6), 200, 8)))
    assert usual.shape == (200,)
    assert roc_auc_score(np.repeat([0, 1], 200), torch.cat([usual, strange]).numpy()) > 0.95


@pytest.mark.parametrize("name", ["control", "either"])
def test_what_lies_at_a_control_scores_higher_than_what_lies_at_an_attack(name: str) -> None:
    score = DETECTORS[name].fit(held_out(), THIRD_IS_CONTROL)
    attacks, controls = (score(answer(cloud(at, 200, 7))) for at in ((2.0, 0.0), (0.0, 2.0)))
    assert attacks.max() < controls.min()


def test_where_nothing_is_a_control_no_image_can_be_one() -> None:
    assert not DETECTORS["control"].fit(held_out(), NO_CONTROLS)(answer(cloud((0.0, 2.0), 9, 7))).any()


def test_either_is_the_larger_share_of_held_out_attacks_that_score_less() -> None:
    held, asked = held_out(), answer(cloud((0.5, 1.0), 50, 3))
    attacks = ~THIRD_IS_CONTROL[held.labels]
    known = Prediction(held.log_proba[attacks], held.features[attacks])
    shares = []
    for name in ("control", "mahalanobis"):
        score = DETECTORS[name].fit(held, THIRD_IS_CONTROL)
        shares.append((score(known)[None, :] < score(asked)[:, None]).double().mean(1))
    found = DETECTORS["either"].fit(held, THIRD_IS_CONTROL)(asked)
    torch.testing.assert_close(found.double(), torch.maximum(*shares))


scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]), min_size=2, max_size=30)


@given(scores, scores)
@settings(deadline=None)
def test_measures_agree_with_scikit_learn_and_stay_within_their_bounds(
    known: list[float], unknown: list[float]
) -> None:
    right = np.arange(len(known)) % 3 > 0
    found = measure_open_set(np.array(known), right, np.array(unknown), np.ones(len(unknown), dtype=bool))
    truth = [0] * len(known) + [1] * len(unknown)
    assert found.auroc == pytest.approx(roc_auc_score(truth, known + unknown))
    assert 0 <= found.oscr <= right.mean() + 1e-12
    assert found.sure_and_wrong == found.fpr95


def test_a_perfect_score_and_a_useless_one() -> None:
    known, right = np.arange(100) / 100, np.ones(100, dtype=bool)
    sure = np.arange(50) < 10
    apart = measure_open_set(known, right, np.full(50, 2.0), sure)
    assert (apart.auroc, apart.fpr95, apart.sure_and_wrong) == (1.0, 0.0, 0.0)
    assert apart.oscr == pytest.approx(1.0)
    same = measure_open_set(np.zeros(100), right, np.zeros(50), sure)
    assert (same.auroc, same.fpr95, same.sure_and_wrong) == (0.5, 1.0, 0.2)
    assert same.oscr == pytest.approx(0.5)
