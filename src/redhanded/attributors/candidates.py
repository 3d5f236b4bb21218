"""`candidates`, for a defender who owns the victims: each victim's margin at the image, and its gradient."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attributors.base import Knowledge
from redhanded.attributors.network import NetworkAttributor
from redhanded.attributors.perceptron import perceptron
from redhanded.attributors.residuals import LEVELS, off_levels
from redhanded.core import dual_norm_of, norm_of
from redhanded.data import as_float
from redhanded.models import SAMPLE, device_of, prepare
from redhanded.sets import Samples

_BATCH = 256
NUMBERS = 15  # that a victim is asked for
_SMALLEST = 1e-6  # keeps logarithms of zero finite
_HIDDEN, _DROPOUT = 256, 0.2  # at width 1
_OFFSET = 1e-4  # DeepFool's, which it adds to every step: about so far behind the boundary its small steps end
_ZOOMS, _REACH = (4, 16, 40), 3  # the distance once more, seen from there; how far each of these goes


class Candidates(NetworkAttributor):
    """Two hidden layers on what each candidate victim says of the image.

    Of the two likeliest classes' margin at the image and its gradient: C&W's confidence is such a margin, DeepFool's
    overshoot is how far behind a boundary the image lies, and a perturbation follows the gradient of its own victim.
    """

    kind: ClassVar[str] = "candidates"
    knowledge: ClassVar[Knowledge] = "candidates"

    def view(self, samples: Samples) -> Tensor:
        """(n, 3 + 15 * victims, 1, 1): three numbers of the image, those of each victim; ValueError without victims."""
        if not samples.victims:
            raise ValueError("expected samples with candidate victims, found none; only their owner has them")
        few = samples.images[:SAMPLE]
        victims = [prepare(victim, few.to(device_of(victim))) for victim in samples.victims.values()]
        return torch.cat([_numbers(victims, batch) for batch in samples.images.split(_BATCH)])[:, :, None, None]

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        hidden = round(_HIDDEN * self.settings.width)
        return perceptron(mean, deviation, self.channels_, hidden, len(self.classes_), _DROPOUT)


def _numbers(victims: Sequence[nn.Module], images: Tensor) -> Tensor:
    """A batch, (n, c, h, w) in [0, 1] -> (n, 3 + 15 * victims) on the CPU."""
    images = as_float(images.to(device_of(victims[0])))
    views = _views(images)
    sizes = [_log(norm_of(view, "l2")) for view in views] + [_log(views[1].abs().flatten(1).mean(1))]
    asked = [number for victim in victims for number in _of_victim(victim, images, views)]
    return torch.stack(sizes + asked, 1).cpu()


def ask_victim(victim: nn.Module, images: Tensor) -> Tensor:
    """Fifteen numbers of a victim's margin and gradient at each image, (n, c, h, w) in [0, 1] -> (n, 15) on the CPU."""
    if not len(images):
        return torch.zeros(0, NUMBERS)
    device = device_of(victim)
    prepared = prepare(victim, images[:SAMPLE].to(device))
    batches = (as_float(batch.to(device)) for batch in images.split(_BATCH))
    return torch.cat([torch.stack(_of_victim(prepared, batch, _views(batch)), 1).cpu() for batch in batches])


def _views(images: Tensor) -> tuple[Tensor, Tensor]:
    """What a perturbation left to be seen, twice (n, c, h, w): high-pass residuals, and what lies between levels."""
    # Bends across both directions, 0 on what is smooth. Differences are taken one by one, for a convolution leaves
    # rounding noise where nothing bends, and its sign is anything.
    residual = -_bend(_bend(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 2), 3) / 4
    return residual, off_levels(images) / LEVELS  # in units of the image: all of a float's small perturbation


def _of_victim(victim: nn.Module, images: Tensor, views: Sequence[Tensor]) -> list[Tensor]:
    """What a victim says of a batch, fifteen times (n,); `views` are what the perturbation left in the image."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        ranked = victim(x).sort(dim=1, descending=True).values  # (n, k)
        margin = ranked[:, 0] - ranked[:, 1]
        (gradient,) = torch.autograd.grad(margin.sum(), x)
    ranked, margin = ranked.detach(), margin.detach()
    l2, l1 = (dual_norm_of(gradient, norm).clamp_min(_SMALLEST) for norm in ("l2", "linf"))
    agreements = []
    for view in views:
        agreements.append(functional.cosine_similarity(gradient.flatten(1), view.flatten(1)))
        agreements.append((gradient.sign() * view.sign()).flatten(1).mean(1))
    down, seen = -gradient.flatten(1), views[1].flatten(1)
    back = _log(margin / l1)  # one linear step back to the boundary in linf
    return [
        _log(margin),
        _log(margin / l2),  # and in l2
        back,
        *(((back - math.log(_OFFSET)) * zoom).clamp(-_REACH, _REACH) for zoom in _ZOOMS),
        _log(l2),
        _log(l1 / l2),
        ranked[:, 0] - ranked[:, min(2, ranked.shape[1] - 1)],
        *agreements,
        _log((functional.normalize(down) * seen).sum(1)),  # how far a step down the margin went in l2, as far as seen
        _log((down.sign() * seen).mean(1)),  # and in linf
    ]


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(_SMALLEST).log()


def _bend(images: Tensor, dimension: int) -> Tensor:
    """x[i] - 2 x[i + 1] + x[i + 2] along a dimension; exactly 0 where the three are equal."""
    length = images.shape[dimension] - 2
    before, here, after = (images.narrow(dimension, start, length) for start in range(3))
    return before - 2 * here + after
