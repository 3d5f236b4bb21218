"""Calibrated answers of one attributor in every dimension: prediction sets, likelihood ratios, OOD quantiles."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from redhanded.attributors import Attributor, Conformal, Factored, Gaussians, Prediction
from redhanded.bundle import Part, bad_bundle, trusting_nothing
from redhanded.studies import COVERAGE, Decision, Novelty, SetEntry
from redhanded.verdicts.statement import words_for
from redhanded.verdicts.verdict import Alternative, Estimate, Finding

_TAIL = 0.05  # of an estimate's distribution, left out on either side
# Of the width of the interval that is known before any image is seen: one as wide as this or wider says nothing of its
# image. A density that was learned is never quite even, so that it need not be all of that width.
UNREAD = 0.85


class Panel:
    """The answers of one attributor of a bundle in every dimension; a prior on families weighs all of them."""

    def __init__(self, attributor: Attributor, part: Part, gaussians: Gaussians, sets: Mapping[str, SetEntry]) -> None:
        self.attributor, self.part = attributor, part
        self._where = f"the bundle's {attributor.kind}"  # of what cannot be trusted
        novelty = Novelty(gaussians, np.array(part.usual))
        self.decision = Decision(attributor, sets, part.temperatures, novelty)
        self.sets, self.marginals = self.decision.entries, self.decision.marginals

    @cached_property
    def _conformal(self) -> dict[str, Conformal]:
        with trusting_nothing(self._where):
            return self.decision.conformal

    def standardise(self, features: Tensor) -> Tensor:
        """Standardise features, (n, f), by the mean and standard deviation of those of known images."""
        standard = self.decision.standardise(features)
        if not torch.isfinite(standard).all():
            raise bad_bundle(self._where, "features of a finite spread", "others")
        return standard

    def ood_quantile(self, answer: Prediction) -> list[float]:
        """The share of known images with a smaller novelty score, for each image.

        Raises BundleError where a score is not finite.
        """
        with trusting_nothing(self._where):
            quantiles = self.decision.novelty.quantile(answer.features)
            if np.isnan(quantiles).any():
                raise bad_bundle(self._where, "finite novelty scores", "others")
        return quantiles.tolist()

    def knn_quantile(self, answer: Prediction) -> list[float]:
        """The share of known images whose features lie nearer to those of known ones, for each image."""
        self.standardise(answer.features)
        return self.decision.apart(answer.features).tolist()

    def findings(self, answer: Prediction, prior: Mapping[str, float], together: bool) -> list[dict[str, Finding]]:
        """The finding in every dimension, for each image or once for all of them together.

        prior: shares of families, empty for equal ones.
        """

        def bounded(log_proba: Tensor) -> Tensor:
            """(n, classes), or with the images' logarithms added (1, classes).

            No answer is surer than the calibration images can vouch for: one more would have been named at random.
            """
            share = 1 / (len(self.attributor.held_out_.labels) + 1)
            log_proba = torch.log((1 - share) * log_proba.double().exp() + share / log_proba.shape[1])
            return log_proba.sum(0, keepdim=True).log_softmax(1) if together else log_proba

        findings: list[dict[str, Finding]] = [{} for _ in range(1 if together else len(answer.log_proba))]
        for dimension, marginal in self.marginals.items():
            own = marginal.answer(answer.log_proba)  # (n, classes)
            p_values = self._conformal[dimension].p_values(own)
            if together and len(p_values) > 1:  # they need not be independent: twice their mean holds always
                p_values = np.minimum(1, 2 * p_values.mean(0, keepdims=True))
            log_proba = weighed = bounded(own)
            if prior:
                within, between = self._log_prior(dimension, prior)
                weighed = bounded(marginal.answer(answer.log_proba + within)) + between
            measured, names = self.part.measured.get(dimension), marginal.classes_
            for row, probabilities in enumerate(weighed.softmax(1)):
                order = probabilities.argsort(descending=True, stable=True).tolist()
                ranked = [(names[one], share) for one, share in zip(order, probabilities[order].tolist(), strict=True)]
                ratio = log_proba[row, order[0]] - log_proba[row, order[1]]  # a logarithm
                findings[row][dimension] = Finding(
                    ranked=[Alternative(name=name, probability=p, words=words_for(p)) for name, p in ranked],
                    prediction_set=[names[one] for one in order if p_values[row, one] > 1 - COVERAGE],
                    coverage=COVERAGE,
                    likelihood_ratio=ratio.clamp(-700, 700).exp().item(),
                    measured=measured.accuracy if measured else None,
                )
        return findings

    def _log_prior(self, dimension: str, prior: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """Logarithms of the prior within each class of a dimension, (sets,), and of the classes' shares, (classes,).

        A family's share is spread evenly over its sets. The first is added to the logarithm of each set's likelihood,
        so that the mean over the sets of a class is weighed.
        """
        classes = self.marginals[dimension].members
        families = [entry.family for entry in self.sets.values()]
        share = {name: prior[entry.family] / families.count(entry.family) for name, entry in self.sets.items()}
        total = {name: sum(share[one] for one in names) for name, names in classes.items()}
        within = {one: share[one] * len(names) / total[name] for name, names in classes.items() for one in names}
        weights = torch.tensor([within[name] for name in self.attributor.classes_])
        return weights.log(), torch.tensor(list(total.values())).double().log()

    def estimates(self, finding: Finding | None, features: Tensor) -> list[Estimate]:
        """The parameters of the likeliest family and norm as numbers.

        finding: of the settings, where they are told apart; features: (n, f) of the images that it is of. Quantiles of
        an attributor's own density where it has one; else from the distribution over settings, linear between the
        settings that are known, on a logarithmic scale where all of these have one.
        """
        if finding is None:
            return []
        entries = {entry.label: entry for entry in self.sets.values()}
        best = entries[finding.ranked[0].name]
        trunk = self.attributor.trunk
        if isinstance(trunk, Factored):
            with trusting_nothing(self._where):
                numbers, layout = trunk.estimates(features, together=True), trunk.layout_
                return [
                    Estimate(
                        parameter=head.name,
                        value=value.item(),
                        low=low.item(),
                        high=high.item(),
                        readable=head.share_between(low, high).item() < UNREAD * (1 - 2 * _TAIL),
                    )
                    for head in layout.heads
                    if layout.attacks[head.attack] == (best.family, best.norm)
                    for value, low, high in [numbers[best.family, best.norm, head.name]]
                ]
        estimates = []
        for parameter in best.setting:
            shares: dict[float, float] = {}
            sets: dict[float, float] = {}  # how many settings have a value: what is known without an image
            for one in finding.ranked:
                entry = entries[one.name]
                if (entry.family, entry.norm) == (best.family, best.norm) and parameter in entry.setting:
                    value = entry.setting[parameter]
                    if not isinstance(value, str):  # the text of a range is no number
                        shares[value] = shares.get(value, 0.0) + one.probability
                        sets[value] = sets.get(value, 0.0) + 1
            if not shares:
                continue
            values = sorted(shares)
            weights = np.array([shares[value] for value in values])
            middles = (np.cumsum(weights) - weights / 2) / weights.sum() if weights.sum() else np.full(len(values), 0.5)
            there, back = (np.log, np.exp) if values[0] > 0 else (np.asarray, np.asarray)
            low, median, high = back(np.interp([_TAIL, 0.5, 1 - _TAIL], middles, there(values)))
            reach, known = (_reach(there(values), np.array([of[value] for value in values])) for of in (shares, sets))
            readable = not 0 < UNREAD * known <= reach
            estimates.append(Estimate(parameter=parameter, value=median, low=low, high=high, readable=readable))
        return estimates


def _reach(values: np.ndarray, weights: np.ndarray) -> float:
    """How far apart the settings lie between which all but the tails of a distribution over settings is, (n,), (n,)."""
    if not weights.sum():
        return float(values[-1] - values[0])
    below = np.cumsum(weights) / weights.sum()
    low, high = np.searchsorted(below, [_TAIL, 1 - _TAIL]).clip(max=len(values) - 1)
    return float(values[high] - values[low])
