"""The table of the attributors: one row of `ATTRIBUTORS` each."""

from typing import Any, NamedTuple

from pydantic import BaseModel

from redhanded.attributors.candidates import Candidates
from redhanded.attributors.cnn6 import Cnn6
from redhanded.attributors.forensic import Forensic, ForensicEach
from redhanded.attributors.forensic_heads import ForensicHeads
from redhanded.attributors.joined import Joined, JoinedSettings
from redhanded.attributors.magnitude import Magnitude
from redhanded.attributors.network import NetworkSettings
from redhanded.attributors.oracle import Oracle


class AttributorKind(NamedTuple):
    """A row of `ATTRIBUTORS`."""

    attributor: type[Any]  # called as attributor(settings, seed)
    settings: type[BaseModel]
    summary: str
    paper: str
    version: int = 1  # raised when fitting gives another attributor: it is fitted again
    whole: bool = False  # fitted once on all sets of a study; a question's answer is a marginal
    parts: tuple[str, ...] = ()  # what it joins, each of them whole


ATTRIBUTORS: dict[str, AttributorKind] = {
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
    "joined": AttributorKind(
        Joined,
        JoinedSettings,
        "forensic and candidates, their probabilities multiplied",
        "none: ours",
        whole=True,
        parts=("forensic", "candidates"),
    ),
    "oracle": AttributorKind(
        Oracle, NetworkSettings, "the ceiling: forensic's layers on the true perturbation", "none: a bound", whole=True
    ),
    "magnitude": AttributorKind(
        Magnitude, NetworkSettings, "the floor: the L2 and Linf size of the true perturbation", "none: a control"
    ),
}
