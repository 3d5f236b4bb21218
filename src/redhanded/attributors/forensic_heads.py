"""`forensic` with a head for each part of a set's name, to compare with its one softmax over all sets."""

import re
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attributors.forensic import Forensic

_SETTING = re.compile(r"([a-z_]+)=(\d+(?:\.\d+)?(?:e-?\d+)?)")  # in the name of a set
_ONE = 0.5413  # softplus of it is 1


class ForensicHeads(Forensic):
    """The same layers, but a set's logarithm of probability is the sum of those of its parts, each from its own head.

    One head tells the victims, one what was done (family and norm), and given that each setting has one of its own:
    ordinal, since the values of `eps` or `confidence` have an order. So victim, attack and settings are independent
    given the image, and a head learns its part of the name from all images that have it.
    """

    kind: ClassVar[str] = "forensic_heads"

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor; classes are sets' names, "victim/attack"."""
        network: Any = super().build(mean, deviation)  # a sequence that ends in one linear layer
        *layers, last = network
        return nn.Sequential(*layers, _Heads(last.in_features, self.classes_))


class _Heads(nn.Linear):
    """One linear layer to all heads' outputs, and the sum of what they say of each set.

    A setting's head is a proportional-odds model (McCullagh, "Regression models for ordinal data", 1980): one score,
    and between neighbouring values a threshold. The heads are weighted by their uncertainty: each one's logits are
    divided by a learned variance, the likelihood that Kendall, Gal, Cipolla, "Multi-task learning using uncertainty
    to weigh losses", CVPR 2018, approximate by weights.
    """

    places: Tensor  # (classes, 2): of its victim and of what was done, among the outputs
    terms: Tensor  # (settings of all classes, 4): the class, the setting's head, its two thresholds

    def __init__(self, inputs: int, classes: tuple[str, ...]) -> None:
        names = [_parts(name) for name in classes]
        victims, kinds = (list(dict.fromkeys(name[part] for name in names)) for part in (0, 1))
        settings = [
            (place, (kind, name), value)
            for place, (_, kind, values) in enumerate(names)
            for name, value in values.items()
        ]
        scales = {scale: sorted({value for _, one, value in settings if one == scale}) for _, scale, _ in settings}
        super().__init__(inputs, len(victims) + len(kinds) + len(scales))
        self.sizes = (len(victims), len(kinds), len(scales))
        most = max(2, *map(len, scales.values()), 0)
        places = [(victims.index(victim), len(victims) + kinds.index(kind)) for victim, kind, _ in names]
        terms = []
        for place, scale, value in settings:
            level = scales[scale].index(value)
            above = level + 1 if level + 1 < len(scales[scale]) else most
            terms.append((place, list(scales).index(scale), level, above))
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("terms", torch.tensor(terms, dtype=torch.int64).view(-1, 4), persistent=False)
        self.first = nn.Parameter(torch.full((len(scales), 1), 1 - most / 2))
        self.gaps = nn.Parameter(torch.full((len(scales), most - 2), _ONE))
        self.log_variances = nn.Parameter(torch.zeros(3))  # of victims, kinds and settings

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs) -> (n, classes)."""
        weights = (-self.log_variances).exp()
        outputs = super().forward(features).split(self.sizes, 1)
        victim, kind, scores = (output * weight for output, weight in zip(outputs, weights, strict=True))
        named = torch.cat([victim.log_softmax(1), kind.log_softmax(1)], 1)[:, self.places].sum(2)
        own, scale, below, above = self.terms.T
        inner = torch.cat([self.first, functional.softplus(self.gaps)], 1).cumsum(1)
        ends = torch.full_like(self.first, torch.inf)
        thresholds = torch.cat([-ends, inner, ends], 1)  # in order, (settings' heads, 1 + most values)
        settings = _log_between(scores[:, scale], thresholds[scale, below], thresholds[scale, above])
        return named.index_add(1, own, settings)


def _log_between(scores: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """log(sigmoid(above - score) - sigmoid(below - score)), without taking a difference of nearly equal numbers."""
    outside = functional.logsigmoid(above - scores) + functional.logsigmoid(scores - below)
    return outside + torch.log1p(-(below - above).exp())


def _parts(name: str) -> tuple[str, str, dict[str, float]]:
    """A set's name -> its victim, what was done, its settings."""
    victim, _, attack = name.partition("/")
    return victim, _SETTING.sub(r"\1", attack), {match[1]: float(match[2]) for match in _SETTING.finditer(attack)}
