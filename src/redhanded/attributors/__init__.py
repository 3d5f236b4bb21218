"""Attributors, one file and one row each."""

from typing import Any, NamedTuple

from pydantic import BaseModel

from redhanded.attributors.base import Attributor
from redhanded.attributors.candidates import Candidates
from redhanded.attributors.cnn6 import Cnn6
from redhanded.attributors.forensic import Forensic
from redhanded.attributors.magnitude import Magnitude
from redhanded.attributors.network import NetworkSettings
from redhanded.attributors.oracle import Oracle

__all__ = [
    "ATTRIBUTORS",
    "Attributor",
    "AttributorKind",
    "Candidates",
    "Cnn6",
    "Forensic",
    "Magnitude",
    "NetworkSettings",
    "Oracle",
]


class AttributorKind(NamedTuple):
    """A row of `ATTRIBUTORS`."""

    attributor: type[Any]  # called as attributor(settings, seed)
    settings: type[BaseModel]
    summary: str
    paper: str


ATTRIBUTORS: dict[str, AttributorKind] = {
    "cnn6": AttributorKind(Cnn6, NetworkSettings, "six convolutions on the pixels of the image", "Dotter et al. 2021"),
    "forensic": AttributorKind(
        Forensic,
        NetworkSettings,
        "high-pass residuals beside the image, seven convolutions, late pooling",
        "none: ours; the residuals from Fridrich and Kodovsky 2012",
    ),
    "candidates": AttributorKind(
        Candidates, NetworkSettings, "nine numbers of each victim's margin and gradient at the image", "none: ours"
    ),
    "oracle": AttributorKind(
        Oracle, NetworkSettings, "the ceiling: forensic's layers on the true perturbation", "none: a bound"
    ),
    "magnitude": AttributorKind(
        Magnitude, NetworkSettings, "the floor: the L2 and Linf size of the true perturbation", "none: a control"
    ),
}
