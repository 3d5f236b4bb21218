"""Foolbox: FGSM, DeepFool and C&W, all with the parameters that ours have.

Neighbours do not matter to FGSM and DeepFool. They do to C&W: with `abort_early` a search step ends for the whole
batch, when the sum of the losses has stalled.
"""

from typing import Any

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.toolchains.calling import adapter
from redhanded.attacks.toolchains.loading import load_toolchain


@adapter()
def fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: FGSM) -> Tensor:
    """One step, projected onto the ball of size `eps` again after the clipping."""
    attacks = load_toolchain("foolbox").attacks
    attack_type = {"l2": attacks.L2FastGradientAttack, "linf": attacks.LinfFastGradientAttack}[attack.norm]
    return _clipped(attack_type(), model, images, labels, attack.eps)


@adapter()
def deepfool(model: nn.Module, images: Tensor, labels: Tensor, attack: DeepFool) -> Tensor:
    """The steps of Foolbox's logit loss; an image that is still right after `steps` of them keeps its path."""
    attacks = load_toolchain("foolbox").attacks
    attack_type = {"l2": attacks.L2DeepFoolAttack, "linf": attacks.LinfDeepFoolAttack}[attack.norm]
    # Its own default looks at the 10 likeliest classes alone.
    method = attack_type(steps=attack.steps, candidates=None, overshoot=attack.overshoot, loss="logits")
    return _clipped(method, model, images, labels, None)


@adapter()
def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> Tensor:
    """Adam in tanh space; an image for which nothing was found is black."""
    method = load_toolchain("foolbox").attacks.L2CarliniWagnerAttack(
        binary_search_steps=attack.binary_search_steps,
        steps=attack.steps,
        stepsize=attack.learning_rate,
        confidence=attack.confidence,
        initial_const=attack.initial_const,
        abort_early=attack.abort_early,
    )
    return _clipped(method, model, images, labels, None)


def _clipped(method: Any, model: nn.Module, images: Tensor, labels: Tensor, size: float | None) -> Tensor:
    """The second of the three things that Foolbox returns: raw images, images clipped to the size, success."""
    wrapped = load_toolchain("foolbox").PyTorchModel(model, bounds=(0, 1), device=images.device)
    return method(wrapped, images, labels, epsilons=size)[1]
