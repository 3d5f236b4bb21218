"""The attacks: one row of `ATTACKS` each, all called as `run(model, images, labels, specifications)`."""

from redhanded.attacks.carlini_wagner import CarliniWagner, carlini_wagner
from redhanded.attacks.deepfool import DeepFool, deepfool
from redhanded.attacks.fgsm import FGSM, fgsm
from redhanded.attacks.spec import Attacked, AttackFunction, AttackKind, AttackSpec

ATTACKS: dict[str, AttackKind] = {
    "fgsm": AttackKind(
        spec=FGSM,
        run=fgsm,
        shares_work=True,
        summary="one step along the gradient of the loss (l2) or its sign (linf)",
        paper="Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015",
    ),
    "deepfool": AttackKind(
        spec=DeepFool,
        run=deepfool,
        shares_work=False,
        summary="steps to the nearest boundary of the linearised classifier until the class changes",
        paper="Moosavi-Dezfooli, Fawzi, Frossard: DeepFool: a simple and accurate method to fool deep neural "
        "networks, CVPR 2016",
    ),
    "carlini_wagner": AttackKind(
        spec=CarliniWagner,
        run=carlini_wagner,
        shares_work=False,
        summary="the nearest image that is wrong by a margin, searched by Adam in tanh space",
        paper="Carlini, Wagner: Towards evaluating the robustness of neural networks, IEEE S&P 2017",
    ),
}

__all__ = [
    "ATTACKS",
    "FGSM",
    "AttackFunction",
    "AttackKind",
    "AttackSpec",
    "Attacked",
    "CarliniWagner",
    "DeepFool",
    "carlini_wagner",
    "deepfool",
    "fgsm",
]
