"""Attributors, one file and one row each."""

from typing import Any, NamedTuple

from pydantic import BaseModel

from redhanded.attributors.base import Attributor
from redhanded.attributors.cnn6 import Cnn6, Cnn6Settings

__all__ = ["ATTRIBUTORS", "Attributor", "AttributorKind", "Cnn6", "Cnn6Settings"]


class AttributorKind(NamedTuple):
    """A row of `ATTRIBUTORS`."""

    attributor: type[Any]  # called as attributor(settings, seed)
    settings: type[BaseModel]
    summary: str
    paper: str


ATTRIBUTORS: dict[str, AttributorKind] = {
    "cnn6": AttributorKind(Cnn6, Cnn6Settings, "six convolutions on the pixels of the image", "Dotter et al. 2021"),
}
