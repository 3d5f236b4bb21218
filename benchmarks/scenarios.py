"""What is compared: rows of specifications, ours and those that every peer is asked for."""

from typing import NamedTuple, cast

from redhanded.attacks import FGSM, AttackSpec, CarliniWagner, DeepFool, ToolchainName

OURS = "redhanded"


class Scenario(NamedTuple):
    """A row of `SCENARIOS`."""

    title: str
    ours: tuple[AttackSpec, ...]  # go into one call
    theirs: tuple[AttackSpec, ...]  # the same settings without shortcuts, in the same order
    target: float  # how many times as fast as each peer ours has to be


def _same(title: str, *specs: AttackSpec, target: float) -> Scenario:
    return Scenario(title, specs, specs, target)


def _shortcut(title: str, ours: AttackSpec, theirs: AttackSpec, target: float) -> Scenario:
    return Scenario(title, (ours,), (theirs,), target)


_FGSM = (
    *(FGSM(norm="l2", eps=eps) for eps in (1.0, 2.0, 5.0)),
    *(FGSM(norm="linf", eps=eps) for eps in (0.03, 0.1, 0.2)),
)
_L2, _LINF = (DeepFool(norm=norm, overshoot=0.02, steps=50) for norm in ("l2", "linf"))
_CW = CarliniWagner(
    learning_rate=0.1, confidence=0.1, steps=100, binary_search_steps=3, initial_const=1.0, abort_early=False
)
_CW_FINE = _CW.model_copy(update={"learning_rate": 0.01, "confidence": 0.0, "initial_const": 0.1})


def _box(spec: DeepFool, target: float) -> Scenario:
    title = f"DeepFool in {spec.norm.capitalize()} that keeps to the box, against plain DeepFool"
    return _shortcut(title, spec.model_copy(update={"box_from": 3}), spec, target)


SCENARIOS: dict[str, Scenario] = {
    "fgsm": _same("FGSM, the six settings of a study", *_FGSM, target=5.5),
    "deepfool-l2": _same("DeepFool in L2", _L2, target=2.0),
    "deepfool-l2-box": _box(_L2, 2.0),
    "deepfool-linf": _same("DeepFool in Linf", _LINF, target=1.5),
    "deepfool-linf-box": _box(_LINF, 1.5),
    "carlini_wagner": _same("C&W, large steps", _CW, target=1.5),
    "carlini_wagner-fine": _same("C&W, small steps", _CW_FINE, target=1.5),
    "carlini_wagner-deepfool": _shortcut(
        "C&W from DeepFool's point, against plain C&W",
        _CW.model_copy(update={"init": "deepfool", "initial_const": 2.0, "binary_search_steps": 1}),
        _CW,
        target=4.0,
    ),
}


def asked_of(peer: str, specs: tuple[AttackSpec, ...]) -> tuple[AttackSpec, ...]:
    """The same specifications, run by a peer."""
    return tuple(spec.model_copy(update={"toolchain": cast(ToolchainName, peer)}) for spec in specs)
