"""The Adversarial Robustness Toolbox (ART): all our families but DDN and FMN; NumPy in and out.

Neighbours matter little to FGSM, PGD, BIM and MI-FGSM (their loss is the batch's mean, so a gradient can underflow in
a large batch) and not to DeepFool and C&W in Linf. They can matter to C&W: whether an image's trial of the line search
counts as its success is asked only when some image of the batch has moved. They do to the point at which PGD begins,
and to Square, whose place in a query is one for the batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.carlini_wagner_linf import CarliniWagnerLinf
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.pgd import BIM, MIFGSM, PGD
from redhanded.attacks.square import Square
from redhanded.attacks.toolchains.calling import LARGEST_SQUARE, ORDERS, adapter, class_count, only
from redhanded.attacks.toolchains.loading import load_toolchain
from redhanded.errors import AttackError

_TWO_PIXEL_TILES = 10  # a side of five tiles, each wide enough for a peak beside a trough
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


@adapter(only("abort_early", False, "ART's C&W in Linf stops by a rule of its own"))
def carlini_wagner_linf(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagnerLinf) -> Tensor:
    """Image by image; each search step begins at the image, and all constants are tried for each bound.

    A search step ends when its loss is below 0.001 or has risen for long; the bound shrinks down to 1/256.
    """
    method = load_toolchain("art").attacks.evasion.CarliniLInfMethod(
        _classifier(model, images),
        learning_rate=attack.learning_rate,
        max_iter=attack.steps,
        decrease_factor=attack.decrease_factor,
        initial_const=attack.initial_const,
        largest_const=attack.largest_const,
        const_factor=attack.const_factor,
        batch_size=len(images),
        verbose=False,
    )
    return _generate(method, images, labels)


@adapter()
def pgd(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """Steps that are clipped and then projected; a random start is uniform in the ball, in both norms."""
    method = load_toolchain("art").attacks.evasion.ProjectedGradientDescent(
        _classifier(model, images),
        norm=ORDERS[attack.norm],
        eps=attack.eps,
        eps_step=attack.step_size,
        max_iter=attack.steps,
        num_random_init=int(attack.random_start),
        batch_size=len(images),
        verbose=False,
    )
    return _generate(method, images, labels)


@adapter(only("norm", "linf", "ART's BIM is the Linf one"))
def bim(model: nn.Module, images: Tensor, labels: Tensor, attack: BIM) -> Tensor:
    """PGD's steps from the image itself."""
    method = load_toolchain("art").attacks.evasion.BasicIterativeMethod(
        _classifier(model, images),
        eps=attack.eps,
        eps_step=attack.step_size,
        max_iter=attack.steps,
        batch_size=len(images),
        verbose=False,
    )
    return _generate(method, images, labels)


@adapter()
def mi_fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: MIFGSM) -> Tensor:
    """The paper's momentum, as ours."""
    method = load_toolchain("art").attacks.evasion.MomentumIterativeMethod(
        _classifier(model, images),
        norm=ORDERS[attack.norm],
        eps=attack.eps,
        eps_step=attack.step_size,
        decay=attack.decay,
        max_iter=attack.steps,
        batch_size=len(images),
        verbose=False,
    )
    return _generate(method, images, labels)


@adapter(LARGEST_SQUARE)
def square(model: nn.Module, images: Tensor, labels: Tensor, attack: Square) -> Tensor:
    """A square is at one place for the batch, and never at the lower and right edge; `steps` counts iterations.

    The first point is kept only where it is better than the image. In l2 a window's size is divided by what the paper
    multiplies it by. Raises AttackError for images under 10 pixels a side in l2, whose tiles have no peak.
    """
    if attack.norm == "l2" and min(images.shape[2:]) < _TWO_PIXEL_TILES:
        found = " x ".join(map(str, images.shape[2:]))
        expected = f"images of at least {_TWO_PIXEL_TILES} pixels a side for square in l2 in the toolchain art"
        raise AttackError(f"expected {expected}, found {found}; enlarge them or take another toolchain")
    method = load_toolchain("art").attacks.evasion.SquareAttack(
        _classifier(model, images),
        norm=ORDERS[attack.norm],
        max_iter=attack.steps,
        eps=attack.eps,
        p_init=attack.p_init,
        batch_size=len(images),
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
