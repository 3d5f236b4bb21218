"""The table of the attributors: one row of `ATTRIBUTORS` each, and `make_attributor`, which makes one by name."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from redhanded.attributors.base import Attributor, AttributorKind
from redhanded.attributors.candidates import Candidates
from redhanded.attributors.cnn6 import Cnn6
from redhanded.attributors.factored import Factored, FactoredAsked, FactoredSettings
from redhanded.attributors.forensic import Forensic, ForensicEach
from redhanded.attributors.forensic_heads import ForensicHeads
from redhanded.attributors.joined import Joined, JoinedSettings
from redhanded.attributors.magnitude import Magnitude
from redhanded.attributors.network import NetworkSettings
from redhanded.attributors.oracle import Oracle
from redhanded.attributors.taught import Taught, TaughtSettings
from redhanded.core import Table

_OURS: dict[str, AttributorKind] = {
    "cnn6": AttributorKind(Cnn6, NetworkSettings, "six convolutions on the pixels of the image", "Dotter et al. 2021"),
    "forensic": AttributorKind(
        Forensic,
        NetworkSettings,
        "high-pass residuals beside the image, five convolutions; one network for all questions",
        "none: ours; the residuals from Fridrich and Kodovsky 2012",
        whole=True,
    ),
    "forensic_each": AttributorKind(
        ForensicEach, NetworkSettings, "forensic's layers, one network for each question", "none: ours"
    ),
    "forensic_heads": AttributorKind(
        ForensicHeads,
        NetworkSettings,
        "forensic's layers, a head each for victim, family and norm, and every setting",
        "none: ours",
        whole=True,
    ),
    "candidates": AttributorKind(
        Candidates,
        NetworkSettings,
        "fifteen numbers of each victim's margin and gradient at the image, three of the image",
        "none: ours",
        whole=True,
    ),
    "factored": AttributorKind(
        Factored,
        FactoredSettings,
        "statistics of residuals and of what lies between grey levels, a head for each part of an answer",
        "none: ours; the residuals from Pevny, Bas and Fridrich 2010",
        whole=True,
    ),
    "factored_asked": AttributorKind(
        FactoredAsked,
        FactoredSettings,
        "factored, and fifteen numbers of each of any number of candidate victims",
        "none: ours; the pooling from Zaheer et al. 2017",
        whole=True,
    ),
    "joined": AttributorKind(
        Joined,
        JoinedSettings,
        "forensic and candidates, their probabilities multiplied",
        "none: ours",
        whole=True,
        parts=("forensic", "candidates"),
    ),
    "taught": AttributorKind(
        Taught,
        TaughtSettings,
        "another attributor, with a linear head on its features for each family that it was taught afterwards",
        "none: ours",
        whole=True,
    ),
    "oracle": AttributorKind(
        Oracle, NetworkSettings, "the ceiling: forensic's layers on the true perturbation", "none: a bound", whole=True
    ),
    "magnitude": AttributorKind(
        Magnitude, NetworkSettings, "the floor: the L2 and Linf size of the true perturbation", "none: a control"
    ),
}
ATTRIBUTORS = Table("redhanded.attributors", AttributorKind, lambda row: row.attributor.kind, _OURS)


def make_attributor(name: str, settings: BaseModel | Mapping[str, Any], seed: int = 0) -> Attributor:
    """An attributor of `ATTRIBUTORS` that is not fitted; raises pydantic's ValidationError for other settings."""
    row = ATTRIBUTORS[name]
    return row.attributor(row.settings.model_validate(settings), seed)
