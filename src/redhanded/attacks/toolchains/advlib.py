"""adv-lib: DeepFool and C&W; it has no FGSM, and its PGD of one step returns the input.

Neighbours do not matter to DeepFool. They do to C&W: with `abort_early` a search step ends when the losses of all
images of the batch have stalled.
"""

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.deepfool import DeepFool
from redhanded.attacks.toolchains.calling import ORDERS, Limit, adapter
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
