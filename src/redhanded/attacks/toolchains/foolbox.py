"""Foolbox: all our families but C&W in Linf and Square, with the parameters that ours have.

Neighbours do not matter to most of them. They do to C&W: with `abort_early` a search step ends for the whole batch,
when the sum of the losses has stalled; and to the point at which PGD begins.
"""

from typing import Any

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.ddn import DDN
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.fmn import FMN
from redhanded.attacks.pgd import BIM, MIFGSM, PGD
from redhanded.attacks.toolchains.calling import adapter, only
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


@adapter()
def pgd(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """Steps that are projected onto the ball; a random start is uniform in the ball, in both norms."""
    attacks = load_toolchain("foolbox").attacks
    attack_type = {
        "l2": attacks.L2ProjectedGradientDescentAttack,
        "linf": attacks.LinfProjectedGradientDescentAttack,
    }[attack.norm]
    method = attack_type(abs_stepsize=attack.step_size, steps=attack.steps, random_start=attack.random_start)
    return _clipped(method, model, images, labels, attack.eps)


@adapter()
def bim(model: nn.Module, images: Tensor, labels: Tensor, attack: BIM) -> Tensor:
    """PGD's steps from the image itself."""
    attacks = load_toolchain("foolbox").attacks
    attack_type = {"l2": attacks.L2BasicIterativeAttack, "linf": attacks.LinfBasicIterativeAttack}[attack.norm]
    method = attack_type(abs_stepsize=attack.step_size, steps=attack.steps, random_start=False)
    return _clipped(method, model, images, labels, attack.eps)


@adapter()
def mi_fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: MIFGSM) -> Tensor:
    """What is summed is each gradient's sign (linf) or unit vector (l2), and not the gradient over its L1 size."""
    attacks = load_toolchain("foolbox").attacks
    attack_type = {
        "l2": attacks.L2MomentumIterativeFastGradientMethod,
        "linf": attacks.LinfMomentumIterativeFastGradientMethod,
    }[attack.norm]
    method = attack_type(momentum=attack.decay, abs_stepsize=attack.step_size, steps=attack.steps, random_start=False)
    return _clipped(method, model, images, labels, attack.eps)


@adapter(only("levels", None, "Foolbox's DDN rounds to no levels"))
def ddn(model: nn.Module, images: Tensor, labels: Tensor, attack: DDN) -> Tensor:
    """Our steps; a gradient of zero makes an image that is none, for which the input stands in."""
    method = load_toolchain("foolbox").attacks.DDNAttack(
        init_epsilon=attack.init_norm, steps=attack.steps, gamma=attack.gamma
    )
    return _clipped(method, model, images, labels, None)


@adapter(only("norm", "linf", "Foolbox's FMN in l2 divides a norm by itself and so never projects"))
def fmn(model: nn.Module, images: Tensor, labels: Tensor, attack: FMN) -> Tensor:
    """Our steps, but that a point as near as the nearest success takes its place."""
    method = load_toolchain("foolbox").attacks.LInfFMNAttack(
        steps=attack.steps, max_stepsize=attack.step_size, gamma=attack.gamma
    )
    return _clipped(method, model, images, labels, None)


def _clipped(method: Any, model: nn.Module, images: Tensor, labels: Tensor, size: float | None) -> Tensor:
    """The second of the three things that Foolbox returns: raw images, images clipped to the size, success."""
    wrapped = load_toolchain("foolbox").PyTorchModel(model, bounds=(0, 1), device=images.device)
    return method(wrapped, images, labels, epsilons=size)[1]
