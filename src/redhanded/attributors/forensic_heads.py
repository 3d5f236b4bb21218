"""`forensic` with a head for each part of a set's name, to compare with its one softmax over all sets."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from redhanded.attributors.forensic import Forensic


class ForensicHeads(Forensic):
    """The same layers, but the logit of a set is that of its victim plus that of its attack.

    So victim and attack are independent given the image (and that it was attacked), and each head learns its own part
    of the name from all images that have it.
    """

    kind: ClassVar[str] = "forensic_heads"

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor; classes are sets' names, "victim/attack"."""
        network: Any = super().build(mean, deviation)  # a sequence that ends in one linear layer
        *layers, last = network
        return nn.Sequential(*layers, _Heads(last.in_features, self.classes_))


class _Heads(nn.Linear):
    """A linear layer to the victims' and the attacks' logits, and their sums."""

    places: Tensor

    def __init__(self, inputs: int, classes: tuple[str, ...]) -> None:
        names = [name.partition("/") for name in classes]
        victims, attacks = (list(dict.fromkeys(name[part] for name in names)) for part in (0, 2))
        super().__init__(inputs, len(victims) + len(attacks))
        places = [(victims.index(victim), len(victims) + attacks.index(attack)) for victim, _, attack in names]
        self.register_buffer("places", torch.tensor(places), persistent=False)  # (classes, 2)

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs) -> (n, classes)."""
        logits: Tensor = super().forward(features)
        return logits[:, self.places].sum(2)
