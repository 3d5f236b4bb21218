"""adv-lib: DeepFool, both of C&W's, DDN, FMN, and PGD in Linf; its PGD of one step returns the input, so no FGSM.

Neighbours do not matter to DeepFool, DDN and FMN. They do to C&W: with `abort_early` a search step ends when the
losses of all images of the batch have stalled, and in Linf when all are solved; and to the point at which PGD begins.
"""

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.carlini_wagner_linf import CarliniWagnerLinf
from redhanded.attacks.ddn import DDN
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.fmn import FMN
from redhanded.attacks.pgd import PGD
from redhanded.attacks.toolchains.calling import ORDERS, Limit, adapter, only
from redhanded.attacks.toolchains.loading import load_toolchain

_CHECKS = 10  # of the loss in a search step; with fewer iterations its `steps // 10` is a division by zero


@adapter()
def deepfool(model: nn.Module, images: Tensor, labels: Tensor, attack: DeepFool) -> Tensor:
    """The overshoot scales each step from where the image is, so it differs from ours where a pixel is clipped.

    The input is returned where `steps` steps did not change the class, or where only the last of them did.
    """
    return load_toolchain("advlib").attacks.df(
        model, images, labels, steps=attack.steps, overshoot=attack.overshoot, norm=ORDERS[attack.norm]
    )


@adapter(
    Limit(
        "steps",
        f"steps >= {_CHECKS}, or abort_early=False,",
        lambda attack: attack.steps >= _CHECKS or not attack.abort_early,
        "adv-lib's C&W divides by zero below",
    )
)
def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> Tensor:
    """Adam in tanh space, as the authors' code."""
    return load_toolchain("advlib").attacks.carlini_wagner_l2(
        model,
        images,
        labels,
        confidence=attack.confidence,
        learning_rate=attack.learning_rate,
        initial_const=float(attack.initial_const),  # an integer would make a tensor of integers, and fail
        binary_search_steps=attack.binary_search_steps,
        max_iterations=attack.steps,
        abort_early=attack.abort_early,
    )


@adapter()
def carlini_wagner_linf(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagnerLinf) -> Tensor:
    """Our search, but that a search step ends for the batch."""
    return load_toolchain("advlib").attacks.carlini_wagner_linf(
        model,
        images,
        labels,
        learning_rate=attack.learning_rate,
        max_iterations=attack.steps,
        initial_const=attack.initial_const,
        largest_const=attack.largest_const,
        const_factor=attack.const_factor,
        decrease_factor=attack.decrease_factor,
        abort_early=attack.abort_early,
    )


@adapter(only("norm", "linf", "adv-lib's PGD is the Linf one"))
def pgd(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """The last point that fools of those at which a gradient was taken, the input where none did; not the last one."""
    return load_toolchain("advlib").attacks.pgd_linf(
        model,
        images,
        labels,
        attack.eps,
        steps=attack.steps,
        random_init=attack.random_start,
        absolute_step_size=attack.step_size,
    )


@adapter()
def ddn(model: nn.Module, images: Tensor, labels: Tensor, attack: DDN) -> Tensor:
    """Our steps, but that a gradient of zero moves an image in a random direction."""
    return load_toolchain("advlib").attacks.ddn(
        model,
        images,
        labels,
        steps=attack.steps,
        γ=attack.gamma,
        init_norm=attack.init_norm,
        levels=attack.levels,  # its own default is 256
    )


@adapter()
def fmn(model: nn.Module, images: Tensor, labels: Tensor, attack: FMN) -> Tensor:
    """Our steps; in l2 the projection also lengthens what is short of the radius."""
    return load_toolchain("advlib").attacks.fmn(
        model,
        images,
        labels,
        norm=ORDERS[attack.norm],
        steps=attack.steps,
        α_init=attack.step_size,
        γ_init=attack.gamma,
    )
