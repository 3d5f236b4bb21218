"""torchattacks: FGSM in Linf, DeepFool in L2, C&W without a search for the constant.

Neighbours matter little to FGSM (its loss is the batch's mean, so a gradient can underflow in a large batch) and
not to DeepFool, which takes one image at a time. They do matter to C&W, which stops for the whole batch.

Its normalisation and its saving, which truncates to integers instead of rounding, are not used.
"""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.toolchains.calling import adapter, only
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


def _run(name: str, model: nn.Module, images: Tensor, labels: Tensor, **parameters: Any) -> Tensor:
    # It looks for the device among the parameters, and prints a complaint about a model that has none.
    with redirect_stdout(StringIO()):
        # The wrapping hides the model's name from it: one called RobModel would get a normalisation of its own.
        attack = getattr(load_toolchain("torchattacks"), name)(nn.Sequential(model), **parameters)
    attack.set_device(images.device)
    return attack(images, labels)
