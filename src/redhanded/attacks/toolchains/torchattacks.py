"""torchattacks: FGSM, BIM and MI-FGSM in Linf, DeepFool in L2, C&W without a search for the constant, PGD and Square.

Neighbours matter little to FGSM, PGD, BIM and MI-FGSM (their loss is the batch's mean, so a gradient can underflow in
a large batch) and not to DeepFool, which takes one image at a time. They do matter to C&W, which stops for the whole
batch, to the point at which PGD begins, and to Square, whose place in a query is one for the batch.

Its normalisation and its saving, which truncates to integers instead of rounding, are not used.
"""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.pgd import BIM, MIFGSM, PGD
from redhanded.attacks.square import Square
from redhanded.attacks.toolchains.calling import LARGEST_SQUARE, adapter, only
from redhanded.attacks.toolchains.loading import load_toolchain


@adapter(only("norm", "linf", "torchattacks' FGSM is the sign step"))
def fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: FGSM) -> Tensor:
    """One step along the sign of the gradient, clipped."""
    return _run("FGSM", model, images, labels, eps=attack.eps)


@adapter(only("norm", "l2", "torchattacks' DeepFool is the L2 one"))
def deepfool(model: nn.Module, images: Tensor, labels: Tensor, attack: DeepFool) -> Tensor:
    """Each step is scaled by the overshoot, without an offset that carries it over the boundary."""
    return _run("DeepFool", model, images, labels, steps=attack.steps, overshoot=attack.overshoot)


@adapter(
    only("binary_search_steps", 1, "torchattacks' C&W does not search for the constant"),
    only("abort_early", True, "torchattacks' C&W always stops when the loss has risen"),
)
def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> Tensor:
    """Adam in tanh space with the constant `initial_const`.

    The confidence (its `kappa`) is in the loss alone: any other class counts as a success. The loss takes the
    largest other logit for 0 where it is negative, and a pixel of exactly 0 or 1 never moves.
    """
    return _run(
        "CW",
        model,
        images,
        labels,
        c=attack.initial_const,
        kappa=attack.confidence,
        steps=attack.steps,
        lr=attack.learning_rate,
    )


@adapter()
def pgd(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """Our steps; a random start in l2 has its distance drawn uniformly, so it is nearer to the image than ours."""
    return _run(
        {"l2": "PGDL2", "linf": "PGD"}[attack.norm],
        model,
        images,
        labels,
        eps=attack.eps,
        alpha=attack.step_size,
        steps=attack.steps,
        random_start=attack.random_start,
    )


@adapter(only("norm", "linf", "torchattacks' BIM is the Linf one"))
def bim(model: nn.Module, images: Tensor, labels: Tensor, attack: BIM) -> Tensor:
    """PGD's steps from the image itself."""
    return _run("BIM", model, images, labels, eps=attack.eps, alpha=attack.step_size, steps=attack.steps)


@adapter(only("norm", "linf", "torchattacks' MI-FGSM is the Linf one"))
def mi_fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: MIFGSM) -> Tensor:
    """The paper's momentum, as ours; a gradient of zero makes an image that is none, for which the input stands in."""
    sizes = {"eps": attack.eps, "alpha": attack.step_size}
    return _run("MIFGSM", model, images, labels, **sizes, steps=attack.steps, decay=attack.decay)


@adapter(LARGEST_SQUARE)
def square(model: nn.Module, images: Tensor, labels: Tensor, attack: Square) -> Tensor:
    """A square is at one place for the batch, and never at the lower and right edge; `steps` counts iterations.

    Its own seed, 0 unless told, would draw the same squares for every batch; it is given one that depends on the
    images as well, as all draws here do.
    """
    return _run(
        "Square",
        model,
        images,
        labels,
        norm={"l2": "L2", "linf": "Linf"}[attack.norm],
        eps=attack.eps,
        n_queries=attack.steps,
        p_init=attack.p_init,
        seed=int(torch.randint(2**31, ())),
    )


def _run(name: str, model: nn.Module, images: Tensor, labels: Tensor, **parameters: Any) -> Tensor:
    # It looks for the device among the parameters, and prints a complaint about a model that has none.
    with redirect_stdout(StringIO()):
        # The wrapping hides the model's name from it: one called RobModel would get a normalisation of its own.
        attack = getattr(load_toolchain("torchattacks"), name)(nn.Sequential(model), **parameters)
    attack.set_device(images.device)
    return attack(images, labels)
