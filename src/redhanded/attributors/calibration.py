"""Calibration: how well probabilities say how sure an answer may be, and temperature scaling."""

import math

import scipy
from torch import Tensor
from torch.nn import functional

from redhanded.core import Record


class ReliabilityBin(Record):
    """A bin of the reliability diagram: the number of answers, their mean confidence, and their accuracy."""

    n: int
    confidence: float
    accuracy: float


class Calibration(Record):
    """How well an attributor's probabilities are calibrated, measured on the test images."""

    temperature: float  # fitted on source images that were held out of the training split
    ece: float  # expected calibration error of the named class, bins of a tenth
    brier: float  # mean squared error of the probabilities, summed over the classes: 0 to 2
    cllr: float  # log-likelihood-ratio cost: cross-entropy over that of no answer; 0 at best, 1 says nothing
    reliability: list[ReliabilityBin]


BINS = 10
_COLDEST, _HOTTEST = 0.05, 20.0
_SMALLEST = -30.0  # a logarithm of a probability below it counts as it: one sure mistake must not decide alone


def fit_temperature(log_proba: Tensor, labels: Tensor) -> float:
    """The T > 0 at which `log_softmax(log_proba / T)` has the least cross-entropy; 1 where nothing was held out.

    log_proba: (n, k); labels: (n,). Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017.
    """
    if not len(labels):
        return 1.0

    def loss(log_temperature: float) -> float:
        return _cross_entropy(with_temperature(log_proba, math.exp(log_temperature)), labels)

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    return math.exp(scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x)


def with_temperature(log_proba: Tensor, temperature: float) -> Tensor:
    """Natural logarithms of probabilities, (n, k), made flatter by a temperature above 1 and steeper by one below."""
    return (log_proba.double() / temperature).log_softmax(1).to(log_proba.dtype)


def measure_calibration(log_proba: Tensor, labels: Tensor, temperature: float) -> Calibration:
    """Calibration of answers that the temperature is already part of.

    log_proba: (n, k) natural logarithms; labels: (n,), as many of each class.
    """
    confidence, named = log_proba.double().exp().max(1)
    right = named == labels
    upper = (confidence * BINS).ceil().clamp(1, BINS)  # a bin's confidences are in ((upper - 1) / BINS, upper / BINS]
    bins = [upper == place for place in range(1, BINS + 1)]
    reliability = [
        ReliabilityBin(
            n=int(inside.sum()),
            confidence=confidence[inside].mean().item(),
            accuracy=right[inside].double().mean().item(),
        )
        for inside in bins
        if inside.any()
    ]
    truth = functional.one_hot(labels, log_proba.shape[1])
    return Calibration(
        temperature=temperature,
        ece=sum(part.n * abs(part.confidence - part.accuracy) for part in reliability) / len(labels),
        brier=(log_proba.double().exp() - truth).square().sum(1).mean().item(),
        cllr=_cross_entropy(log_proba, labels) / math.log(log_proba.shape[1]),
        reliability=reliability,
    )


def _cross_entropy(log_proba: Tensor, labels: Tensor) -> float:
    """In nats, with the logarithm of a probability bounded below."""
    return -log_proba.double().gather(1, labels[:, None]).clamp_min(_SMALLEST).mean().item()
