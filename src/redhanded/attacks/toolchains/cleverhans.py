"""CleverHans: FGSM, C&W, PGD and BIM; version 4 has no DeepFool.

Neighbours matter. The loss of FGSM, which PGD and BIM repeat, is the batch's mean, and in L2 a gradient smaller than
1e-6 makes a shorter step, so a sure image moves less in a larger batch. C&W multiplies every image's loss by the
constants of all images (an axis is missing), so an image is attacked with the mean constant of its batch.
"""

from torch import Tensor, nn

from redhanded.attacks.carlini_wagner import CarliniWagner
from redhanded.attacks.fgsm import FGSM
from redhanded.attacks.pgd import BIM, PGD
from redhanded.attacks.toolchains.calling import ORDERS, Limit, adapter, class_count, only
from redhanded.attacks.toolchains.loading import load_toolchain

_WITHIN = Limit(
    "step_size",
    "step_size <= eps",
    lambda attack: attack.step_size <= attack.eps,
    "CleverHans takes no step longer than the radius",
)


@adapter()
def fgsm(model: nn.Module, images: Tensor, labels: Tensor, attack: FGSM) -> Tensor:
    """One step, clipped."""
    attacks = load_toolchain("cleverhans").torch.attacks
    return attacks.fast_gradient_method.fast_gradient_method(
        model, images, attack.eps, ORDERS[attack.norm], clip_min=0, clip_max=1, y=labels
    )


@adapter(only("abort_early", False, "CleverHans' C&W runs all its iterations"))
def carlini_wagner(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> Tensor:
    """Adam in tanh space; the modifier and Adam's moments go on from search step to search step.

    The search is CleverHans' own: a bound that it stores is a view of the constant, and moves when the constant
    does, so the bisection is none. That is what its users get, and what is attributed to it.
    """
    attacks = load_toolchain("cleverhans").torch.attacks
    return attacks.carlini_wagner_l2.carlini_wagner_l2(
        model,
        images,
        class_count(model, images),
        y=labels,
        lr=attack.learning_rate,
        confidence=attack.confidence,
        clip_min=0,
        clip_max=1,
        initial_const=attack.initial_const,
        binary_search_steps=attack.binary_search_steps,
        max_iterations=attack.steps,
    )


@adapter(_WITHIN)
def pgd(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """FGSM, clipped and projected, again and again; a random start in l2 is a point of a cube, drawn into the ball."""
    return _repeated(model, images, labels, attack, attack.random_start)


@adapter(_WITHIN)
def bim(model: nn.Module, images: Tensor, labels: Tensor, attack: BIM) -> Tensor:
    """CleverHans' PGD without a random start, which it calls the basic iterative method."""
    return _repeated(model, images, labels, attack, False)


def _repeated(model: nn.Module, images: Tensor, labels: Tensor, attack: PGD | BIM, random_start: bool) -> Tensor:
    attacks = load_toolchain("cleverhans").torch.attacks
    return attacks.projected_gradient_descent.projected_gradient_descent(
        model,
        images,
        attack.eps,
        attack.step_size,
        attack.steps,
        ORDERS[attack.norm],
        clip_min=0,
        clip_max=1,
        y=labels,
        rand_init=random_start,
        sanity_checks=False,  # they refuse a radius above 1
    )
