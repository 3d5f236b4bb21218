"""Open-set detection: novelty scores, with their AUROC, FPR@95 and OSCR."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.detector import RMD, Entropy, Mahalanobis, MaxSoftmax
from scipy.stats import mannwhitneyu
from torch import Tensor

from redhanded.attributors.base import Prediction
from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.conformal import Conformal
from redhanded.attributors.mahalanobis import ACCEPTED, Gaussians
from redhanded.core import Record


class OpenSet(Record):
    """Open-set metrics: how well one novelty score separates attacks that were learned from one that was not."""

    auroc: float
    fpr95: float  # share of the unknown among what passes where 95 % of the known pass
    oscr: float  # area under the open-set classification rate
    sure_and_wrong: float  # share of the unknown that passes and is given a name with confidence


SURE = 0.8  # a probability from which on a name counts as confident

Score = Callable[[Prediction], Tensor]  # n answers -> (n,) novelty scores, larger for what is less like the known


class DetectorKind(NamedTuple):
    """A row of `DETECTORS`."""

    fit: Callable[[CalibrationSet, Tensor], Score]  # (classes,) whether each class is a control
    summary: str
    paper: str


def _max_softmax(held: CalibrationSet, controls: Tensor) -> Score:
    return lambda answer: MaxSoftmax.score(answer.log_proba)


def _entropy(held: CalibrationSet, controls: Tensor) -> Score:
    return lambda answer: Entropy.score(answer.log_proba)


def fit_gaussians(held: CalibrationSet) -> Gaussians:
    """Fit a normal distribution to the features of each class that something was held out of."""
    detector = Mahalanobis(None)
    detector.fit_features(held.features, _without_gaps(held.labels))
    return Gaussians(detector.mu, detector.precision.T.contiguous().T)


def _mahalanobis(held: CalibrationSet, controls: Tensor) -> Score:
    gaussians = fit_gaussians(held)
    return lambda answer: gaussians.score(answer.features)


def _relative_mahalanobis(held: CalibrationSet, controls: Tensor) -> Score:
    detector = RMD(None)
    detector.fit_features(held.features, _without_gaps(held.labels))
    return lambda answer: detector.predict_features(answer.features)


def _without_gaps(labels: Tensor) -> Tensor:
    """Labels counted anew, (n,): a class that nothing was held out of has no centre."""
    return labels.unique(return_inverse=True)[1]


def _conformal(held: CalibrationSet, controls: Tensor) -> Score:
    conformal = Conformal(held.log_proba, held.labels)
    return lambda answer: torch.from_numpy(-conformal.p_values(answer.log_proba).max(1))


def _control(held: CalibrationSet, controls: Tensor) -> Score:
    return lambda answer: answer.log_proba[:, controls].exp().sum(1)


def _either(held: CalibrationSet, controls: Tensor) -> Score:
    """The larger of two scores, each as the share of the held-out attacks whose score is smaller."""
    parts = [DETECTORS[name].fit(held, controls) for name in ("control", OF_FEATURES)]
    attacks = ~controls[held.labels]
    known = Prediction(held.log_proba[attacks], held.features[attacks])
    usual = [part(known).double().sort().values for part in parts]

    def score(answer: Prediction) -> Tensor:
        scores = zip(usual, (part(answer).double() for part in parts), strict=True)
        return torch.stack([torch.searchsorted(less, own) / len(less) for less, own in scores]).amax(0)

    return score


DETECTORS: dict[str, DetectorKind] = {
    "max_softmax": DetectorKind(_max_softmax, "no class is probable", "Hendrycks, Gimpel 2017"),
    "entropy": DetectorKind(_entropy, "many classes are probable", "Shannon 1948"),
    "conformal": DetectorKind(_conformal, "for no class would the answer be usual", "Vovk, Gammerman, Shafer 2005"),
    "mahalanobis": DetectorKind(_mahalanobis, "far from every class's features", "Lee et al. 2018"),
    "relative_mahalanobis": DetectorKind(
        _relative_mahalanobis, "the same, less the distance from all together", "Ren et al. 2021"
    ),
    "control": DetectorKind(_control, "it may be no attack at all", "Hendrycks, Mazeika, Dietterich 2019"),
    "either": DetectorKind(_either, "no attack, or far from every class's features: the likelier", "Tippett 1931"),
}

OF_FEATURES = "mahalanobis"  # says "unknown" in a verdict; that it may be no attack is a verdict of its own
CHOSEN = "either"  # what the two come to


def measure_open_set(
    known: NDArray[np.floating], right: NDArray[np.bool_], unknown: NDArray[np.floating], sure: NDArray[np.bool_]
) -> OpenSet:
    """Measure how well novelty scores separate what was learned from what was not.

    known, unknown: scores, (n,) and (m,), larger for what is less like the known; right: (n,) whether the known
    image was named rightly; sure: (m,) whether the unknown image was given a name with confidence.
    """
    threshold = np.quantile(known, ACCEPTED)
    passed = unknown <= threshold
    return OpenSet(
        auroc=float(mannwhitneyu(unknown, known).statistic / (len(known) * len(unknown))),
        fpr95=float(passed.mean()),
        oscr=_oscr(known, right, unknown),
        sure_and_wrong=float((passed & sure).mean()),
    )


def _oscr(known: NDArray[np.floating], right: NDArray[np.bool_], unknown: NDArray[np.floating]) -> float:
    """Area under the share of the known that is accepted and named rightly, over the share of the unknown accepted.

    Dhamija, Günther, Boult, "Reducing network agnostophobia", 2018.
    """
    thresholds = np.unique(np.concatenate([known, unknown]))
    named = np.searchsorted(np.sort(known[right]), thresholds, side="right") / len(known)
    accepted = np.searchsorted(np.sort(unknown), thresholds, side="right") / len(unknown)
    return float(np.trapezoid(np.concatenate([[0.0], named]), np.concatenate([[0.0], accepted])))
