"""For a defender who owns the victims: what each of them says of the image."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attributors.network import NetworkAttributor
from redhanded.attributors.perceptron import perceptron
from redhanded.norms import dual_norm_of, norm_of
from redhanded.prepare import SAMPLE, prepare
from redhanded.results import Knowledge
from redhanded.samples import Samples
from redhanded.training import as_float, device_of

_BATCH = 256
_SMALLEST = 1e-6  # keeps logarithms of zero finite
_HIDDEN = 128  # at width 1


class Candidates(NetworkAttributor):
    """Two hidden layers on nine numbers for each candidate victim.

    Of the two likeliest classes' margin at the image and its gradient: C&W's confidence is such a margin, DeepFool's
    overshoot is how far behind a boundary the image lies, and a perturbation follows the gradient of its own victim.
    """

    kind: ClassVar[str] = "candidates"
    knowledge: ClassVar[Knowledge] = "candidates"

    def view(self, samples: Samples) -> Tensor:
        """The numbers of every victim side by side, (n, 9 * victims, 1, 1); ValueError where no victim is given."""
        if not samples.victims:
            raise ValueError("expected samples with candidate victims, found none; only their owner has them")
        columns = [_numbers(victim, samples.images) for victim in samples.victims.values()]
        return torch.cat(columns, 1)[:, :, None, None]

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        return perceptron(mean, deviation, self.channels_, round(_HIDDEN * self.settings.width), len(self.classes_))


def _numbers(victim: nn.Module, images: Tensor) -> Tensor:
    """(n, c, h, w) in [0, 1] -> (n, 9) on the CPU."""
    device = device_of(victim)
    victim = prepare(victim, images[:SAMPLE].to(device))
    return torch.cat([_of_batch(victim, as_float(batch.to(device))).cpu() for batch in images.split(_BATCH)])


def _of_batch(victim: nn.Module, images: Tensor) -> Tensor:
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        ranked = victim(x).sort(dim=1, descending=True).values  # (n, k)
        margin = ranked[:, 0] - ranked[:, 1]
        (gradient,) = torch.autograd.grad(margin.sum(), x)
    ranked, margin, residual = ranked.detach(), margin.detach(), _residual(images)
    l2, l1 = (dual_norm_of(gradient, norm).clamp_min(_SMALLEST) for norm in ("l2", "linf"))
    columns = [
        _log(margin),
        _log(margin / l2),  # one linear step back to the boundary in l2
        _log(margin / l1),  # and in linf
        _log(l2),
        _log(l1 / l2),
        ranked[:, 0] - ranked[:, min(2, ranked.shape[1] - 1)],
        functional.cosine_similarity(gradient.flatten(1), residual.flatten(1)),
        (gradient.sign() * residual.sign()).flatten(1).mean(1),
        _log(norm_of(residual, "l2")),
    ]
    return torch.stack(columns, 1)


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(_SMALLEST).log()


def _residual(images: Tensor) -> Tensor:
    """Bends across both directions, (n, c, h, w): 0 on what is smooth.

    Differences one by one, for a convolution leaves rounding noise where nothing bends, and its sign is anything.
    """
    return -_bend(_bend(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 2), 3) / 4


def _bend(images: Tensor, dimension: int) -> Tensor:
    """x[i] - 2 x[i + 1] + x[i + 2] along a dimension; exactly 0 where the three are equal."""
    length = images.shape[dimension] - 2
    before, here, after = (images.narrow(dimension, start, length) for start in range(3))
    return before - 2 * here + after
