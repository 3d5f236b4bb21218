"""Conformal p-values against crepes, and their validity: a true class is ruled out as often as is stated."""

import numpy as np
import pytest
import torch
from crepes import ConformalClassifier

from redhanded.attributors import Conformal


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_p_values_are_those_of_crepes(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    held = torch.randn(200, 5, generator=generator, dtype=dtype).log_softmax(1)
    labels = torch.randint(0, 4, (200,), generator=generator)  # nothing was held out of the last class
    asked = torch.cat([torch.randn(60, 5, generator=generator, dtype=dtype).log_softmax(1), held[:20]])  # and ties
    own, scores = 1 - held.exp().gather(1, labels[:, None])[:, 0], (1 - asked.exp()).numpy()
    crepes = ConformalClassifier().fit(own.numpy(), bins=labels.numpy())
    expected = np.zeros(scores.shape)
    for place in range(4):
        bins = np.full(len(scores), place)
        expected[:, place] = crepes.predict_p(scores[:, [place]], bins=bins, smoothing=False)[:, 0]
    assert np.array_equal(Conformal(held, labels).p_values(asked), expected)


def test_a_true_class_is_ruled_out_as_often_as_is_stated() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3000) % 3
    log_proba = (2 * torch.nn.functional.one_hot(labels) + torch.randn(3000, 3, generator=generator)).log_softmax(1)
    p_values = Conformal(log_proba[:1500], labels[:1500]).p_values(log_proba[1500:])
    own = p_values[np.arange(1500), labels[1500:].numpy()]
    for level in (0.1, 0.5):
        assert (own <= level).mean() == pytest.approx(level, abs=0.05)
