"""The Adversarial Robustness Toolbox (ART): FGSM, DeepFool in L2, C&W by line search; NumPy in and out.

Neighbours matter little to FGSM (its loss is the batch's mean, so a gradient can underflow in a large batch) and
not to DeepFool. They can matter to C&W: whether an image's trial of the line search counts as its success is asked
only when some image of the batch has moved.
"""

from typing import Any

import torch
from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.toolchains.calling import ORDERS, adapter, class_count, only
from redhanded.attacks.toolchains.loading import load_toolchain
from redhanded.errors import AttackError

_DEVICES = {"cpu": "cpu", "cuda": "gpu"}  # ART's own words; it would move the model off any other device


@adapter()
def fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: FGSM) -> Tensor:
    """One step, projected onto the ball of size `eps` again after the clipping."""
    method = load_toolchain("art").attacks.evasion.FastGradientMethod(
        _classifier(model, images),
        norm=ORDERS[attack.norm],
        eps=attack.eps,
        eps_step=attack.eps,
        batch_size=len(images),
    )
    return _generate(method, images, labels)


@adapter(only("norm", "l2", "ART's DeepFool is the L2 one"))
def deepfool(model: nn.Module, images: Tensor, labels: Tensor, attack: DeepFool) -> Tensor:
    """The overshoot is added once, to the whole path, at the end, and not at each step as with us.

    A step is scaled by the width of the clip range, which is 1 here, and has no offset that carries it over the
    boundary. The classes to leave are the predicted ones; the labels are not used.
    """
    method = load_toolchain("art").attacks.evasion.DeepFool(
        _classifier(model, images),
        max_iter=attack.steps,
        epsilon=attack.overshoot,
        nb_grads=class_count(model, images),  # all; its own default is 10
        batch_size=len(images),  # its own default is 1
        verbose=False,
    )
    return _generate(method, images, labels)


@adapter(only("abort_early", False, "ART's C&W runs all its iterations"))
def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> Tensor:
    """Gradient descent in tanh space whose step is halved or doubled, from `learning_rate` on, instead of Adam.

    The search doubles the constant until it succeeds where ours multiplies it by 10. A success is a margin of at
    least `confidence`, so with 0 an image on the boundary itself counts.
    """
    method = load_toolchain("art").attacks.evasion.CarliniL2Method(
        _classifier(model, images),
        confidence=attack.confidence,
        learning_rate=attack.learning_rate,
        binary_search_steps=attack.binary_search_steps,
        max_iter=attack.steps,
        initial_const=attack.initial_const,
        batch_size=len(images),  # its own default is 1
        verbose=False,
    )
    return _generate(method, images, labels)


def _classifier(model: nn.Module, images: Tensor) -> Any:
    if images.device.type not in _DEVICES:
        raise AttackError(
            f"expected the CPU or CUDA for the toolchain art, found {images.device}; move the model there"
        )
    classification = load_toolchain("art").estimators.classification
    return classification.PyTorchClassifier(
        nn.Sequential(model),  # ART calls the layers of a Sequential itself, and not its forward
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(images.shape[1:]),
        nb_classes=class_count(model, images),
        clip_values=(0.0, 1.0),
        device_type=_DEVICES[images.device.type],
    )


def _generate(method: Any, images: Tensor, labels: Tensor) -> Tensor:
    return torch.from_numpy(method.generate(x=images.cpu().numpy(), y=labels.cpu().numpy()))
