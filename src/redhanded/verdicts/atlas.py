"""MITRE ATLAS techniques that a verdict can speak of, as the version pinned here has them."""

from collections.abc import Collection
from typing import NamedTuple

from redhanded.attacks import ATTACKS

ATLAS_VERSION = "5.6.0"


class Technique(NamedTuple):
    """A row of `TECHNIQUES`; dates and STIX id are MITRE's own, so that nobody's copy is overwritten."""

    stix: str
    name: str
    created: str
    modified: str
    phase: str  # of ATLAS's kill chain


# White-box optimisation (.000) and transfer (.002) are left out: an image does not show whether the model whose
# gradients made it is the one it was shown to.
TECHNIQUES: dict[str, Technique] = {
    "AML.T0043": Technique(
        "attack-pattern--c9122fef-2e35-5d75-9e0a-6ae552ee208f",
        "Craft Adversarial Data",
        "2021-05-13T00:00:00.000Z",
        "2025-04-09T00:00:00.000Z",
        "ai-attack-staging",
    ),
    "AML.T0043.001": Technique(
        "attack-pattern--cf1f989f-9b4e-5dae-aaf8-719e71b2fb8b",
        "Black-Box Optimization",
        "2021-05-13T00:00:00.000Z",
        "2021-05-13T00:00:00.000Z",
        "ai-attack-staging",
    ),
    "AML.T0016.000": Technique(
        "attack-pattern--e249e479-eb89-5082-a51e-e862d705ec1d",
        "Adversarial AI Attack Implementations",
        "2021-05-13T00:00:00.000Z",
        "2025-04-09T00:00:00.000Z",
        "resource-development",
    ),
}
CRAFTED, BLACK_BOX, IMPLEMENTATION = TECHNIQUES


def technique_of(families: Collection[str]) -> str:
    """The id of the narrowest technique that holds whichever of the families of attacks it was."""
    without_gradients = [family in ATTACKS and not ATTACKS[family].uses_gradient for family in families]
    return BLACK_BOX if families and all(without_gradients) else CRAFTED
